# shellcheck shell=bash
# The levers, and the plan: what they would change on this interface and kernel, step by step, or why nothing.
# Sourced by tune, which sets INTERFACE and what is asked for; host.sh and nic.sh have a function plan_LEVER for each.

LEVERS=(huge-pages transparent-huge-pages offloads channels nic-ring coalescing irq-affinity busy-poll rps xps governor
    c-states)

# The steps, in the order in which they are made. OLD is `-` where there is no value before; NEW is `-` where the value
# is only to be put back.
STEP_LEVER=() STEP_KIND=() STEP_TARGET=() STEP_OLD=() STEP_NEW=()
# Why there are none, by lever.
declare -A SKIPPED=()
# How many values are right already, by lever.
declare -A UNCHANGED=()
# What must be known of a lever that is set, by lever.
declare -A NOTES=()

add_step() {
    STEP_LEVER+=("$1")
    STEP_KIND+=("$2")
    STEP_TARGET+=("$3")
    STEP_OLD+=("$4")
    STEP_NEW+=("$5")
}

# Plans to set the value of kind $2 of target $3 to $4 for lever $1, unless it is that already; fails where there is no
# such value.
plan_value() {
    local old
    old=$(get_value "$2" "$3") || return 1
    if same_value "$old" "$4"; then
        UNCHANGED[$1]=$((${UNCHANGED[$1]:-0} + 1))
    else
        add_step "$1" "$2" "$3" "$old" "$4"
    fi
}

skip() {
    SKIPPED[$1]=$2
}

note() {
    NOTES[$1]=$2
}

# Whether lever $1 has steps that change something.
planned() {
    local step
    for ((step = 0; step < ${#STEP_LEVER[@]}; step++)); do
        [[ ${STEP_LEVER[step]} != "$1" || ${STEP_NEW[step]} == - ]] || return 0
    done
    return 1
}

# Whether lever $1 was asked for by name.
explicit() {
    [[ ${CHOICE[$1]:-} == asked ]]
}

wanted() {
    [[ ${CHOICE[$1]:-$OTHERS} != skip ]]
}

# Makes the plan of every lever that is wanted.
plan() {
    local lever kind target old
    if wanted channels || wanted nic-ring; then
        # A change of channels or rings takes the values of queues away, or back to the driver's own. Planned first,
        # they are put back last, when every queue is there again.
        for lever in irq-affinity rps xps; do
            while read -r kind target; do
                [[ $kind != service ]] || continue
                ! old=$(get_value "$kind" "$target") || add_step "$lever" "$kind" "$target" "$old" -
            done < <(targets "$lever")
        done
    fi
    for lever in "${LEVERS[@]}"; do
        ! wanted "$lever" || "plan_${lever//-/_}"
    done
}

# Prints kind and target of each value that lever $1 is about, as far as the system can have it.
targets() {
    local class=/sys/class/net/$INTERFACE cpus=/sys/devices/system/cpu
    case $1 in
        huge-pages) printf 'pages %s\n' "$(huge_pages_file)" ;;
        transparent-huge-pages) printf 'choice /sys/kernel/mm/transparent_hugepage/enabled\n' ;;
        # What joins packets in hardware hides them from XDP. GRO in software comes after XDP: it does no harm.
        offloads) printf 'offload %s\n' large-receive-offload rx-gro-hw ;;
        channels | nic-ring | coalescing) printf '%s -\n' "$1" ;;
        irq-affinity)
            queue_interrupts | awk '{ print "interrupt", $1 } END { if (NR) print "service irqbalance" }'
            ;;
        busy-poll) printf "file $class/%s\n" napi_defer_hard_irqs gro_flush_timeout ;;
        rps) files "$class/queues/rx-*/rps_cpus" ;;
        xps) files "$class/queues/tx-*/xps_cpus" ;;
        governor) files "$cpus/cpu[0-9]*/cpufreq/scaling_governor" ;;
        c-states) files "$cpus/cpu[0-9]*/cpuidle/state[0-9]*/disable" ;;
    esac
}

# Prints what the plan leaves as it is, and why.
print_rest() {
    local lever
    for lever in "${LEVERS[@]}"; do
        [[ -z ${UNCHANGED[$lever]:-} ]] || printf 'right already: %s: %s value(s)\n' "$lever" "${UNCHANGED[$lever]}"
    done
    for lever in "${LEVERS[@]}"; do
        [[ -z ${SKIPPED[$lever]:-} ]] || printf 'skipped: %s: %s\n' "$lever" "${SKIPPED[$lever]}"
    done
    for lever in "${LEVERS[@]}"; do
        [[ -z ${NOTES[$lever]:-} ]] || printf 'note: %s: %s\n' "$lever" "${NOTES[$lever]}"
    done
}
