# shellcheck shell=bash
# The levers of the interface: its channels, rings and interrupts, and where packets go. Sourced by tune; see levers.sh.

# Entries of the NIC's own receive ring, where it can have as many.
USUAL_NIC_RING=4096

# Prints what `ethtool -i` shows in the row $1.
driver() {
    ethtool -i "$INTERFACE" 2>/dev/null | awk -v row="$1:" '$1 == row { print $2 }'
}

# Whether the driver takes native XDP only with half of the channels: ENA does (ena_xdp_legal_queue_count), until
# amzn-drivers 2.17.0. The kernel's own ENA driver has no version; ethtool shows the kernel's in its place.
wants_half() {
    local version
    [[ $(driver driver) == ena ]] || return 1
    version=$(driver version)
    [[ $version =~ ^([0-9]+)\.([0-9]+)\.[0-9]+g?$ && $version != "$(uname -r)" ]] || return 0
    ((BASH_REMATCH[1] * 1000 + BASH_REMATCH[2] < 2017))
}

# Why channels and rings must stay as they are; fails where nothing speaks against a change.
captured_from() {
    local link
    link=$(ip -o link show dev "$INTERFACE" 2>/dev/null) || return 1
    [[ $link =~ (prog/xdp|\ xdp(generic|offload|multi)?(/id:|\ )) ]] || return 1
    printf '%s\n' "an XDP program is attached to $INTERFACE; stop mirror-capture first"
}

most_channels() {
    ethtool_number -l maximum Combined || get_value channels -
}

# Prints how many channels there are to be.
channels_to_be() {
    local current half
    current=$(get_value channels -) || return 1
    half=$(($(most_channels) / 2))
    if [[ -n $CHANNELS ]] && wanted channels; then
        printf '%s\n' "$CHANNELS"
    elif wanted channels && wants_half && ((half > 0 && current > half)); then
        printf '%s\n' "$half"
    else
        printf '%s\n' "$current"
    fi
}

# Prints how many receive queues there will be.
queues_to_be() {
    channels_to_be || files "/sys/class/net/$INTERFACE/queues/rx-*" | wc -l
}

plan_channels() {
    local current most wish
    current=$(get_value channels -) || {
        skip channels "$INTERFACE has no combined channels (ethtool -l)"
        return
    }
    most=$(most_channels)
    wish=$(channels_to_be)
    if ((wish > most)); then
        skip channels "$INTERFACE has $most at most, not $wish"
    elif wants_half && ((wish * 2 > most)); then
        skip channels "ENA $(driver version) takes native XDP with half of its $most channels at most, not with $wish"
    elif [[ -z $CHANNELS ]] && ! wants_half; then
        skip channels "nothing is known against the $current of $(driver driver); --channels N sets another number"
    elif ((wish != current)) && captured_from >/dev/null; then
        skip channels "$(captured_from)"
    else
        plan_value channels channels - "$wish"
    fi
}

plan_nic_ring() {
    local current most wish
    current=$(get_value nic-ring -) || {
        skip nic-ring "$INTERFACE has no receive ring whose size can be set (ethtool -g)"
        return
    }
    most=$(ethtool_number -g maximum RX) || most=$current
    wish=${NIC_RING:-$((most < USUAL_NIC_RING ? most : USUAL_NIC_RING))}
    if ((wish > most)); then
        skip nic-ring "the receive ring of $INTERFACE has $most entries at most, not $wish"
    elif ((wish != current)) && captured_from >/dev/null; then
        skip nic-ring "$(captured_from)"
    else
        plan_value nic-ring nic-ring - "$wish"
    fi
}

plan_coalescing() {
    local wish
    wish=$(get_value coalescing -) || {
        skip coalescing "the interrupts of $INTERFACE cannot be coalesced (ethtool -c)"
        return
    }
    if [[ $COALESCING == adaptive ]]; then
        wish=${wish/adaptive-rx off/adaptive-rx on}
        [[ $wish == *adaptive-rx* ]] || {
            skip coalescing "$INTERFACE has no adaptive coalescing; --coalescing MICROSECONDS sets a time"
            return
        }
    else
        [[ $wish == *rx-usecs* ]] || {
            skip coalescing "$INTERFACE takes no time for coalescing (ethtool -c)"
            return
        }
        wish=${wish/adaptive-rx on/adaptive-rx off}
        wish="${wish%rx-usecs*}rx-usecs $COALESCING"
    fi
    plan_value coalescing coalescing - "$wish"
}

plan_offloads() {
    local kind name found=
    while read -r kind name; do
        ! plan_value offloads "$kind" "$name" off || found=1
    done < <(targets offloads)
    [[ -n $found ]] || skip offloads "$INTERFACE does not join packets in hardware, or not by choice (ethtool -k)"
}

plan_busy_poll() {
    local directory=/sys/class/net/$INTERFACE
    if ! explicit busy-poll; then
        skip busy-poll 'of use only with --busy-poll of mirror-capture; give --busy-poll here too'
    elif plan_value busy-poll file "$directory/napi_defer_hard_irqs" "$DEFER_HARD_IRQS"; then
        plan_value busy-poll file "$directory/gro_flush_timeout" "$FLUSH_TIMEOUT"
    else
        skip busy-poll 'the kernel cannot defer interrupts; Linux 5.8 and later can'
    fi
}

plan_rps() {
    plan_no_steering rps 'the kernel steers no packets on their way in (CONFIG_RPS)'
}

plan_xps() {
    plan_no_steering xps "$INTERFACE has one transmit queue only, or the kernel steers no packets (CONFIG_XPS)"
}

# Plans to empty the masks of processors of lever $1; $2 is the reason where there are none.
plan_no_steering() {
    local kind file queues queue found=
    queues=$(queues_to_be)
    while read -r kind file; do
        # Queues that are about to go need nothing.
        queue=${file%/*}
        ((${queue##*-} < queues)) || continue
        ! plan_value "$1" "$kind" "$file" 0 || found=1
    done < <(targets "$1")
    [[ -n $found ]] || skip "$1" "$2"
}

# Prints the processors near the NIC, one a line; all where it is near none.
local_cpus() {
    local list
    list=$(read_file "/sys/devices/system/node/node$(numa_node)/cpulist") ||
        list=$(read_file /sys/devices/system/cpu/online)
    expand_list "$list"
}

# Prints the processors of the workers of $1 queues, one a line: those of --cpus in turn, or as mirror-capture chooses
# them, the first one last.
worker_cpus() {
    local queue
    local -a cpus
    if [[ -n $CPUS ]]; then
        mapfile -t cpus < <(expand_list "$CPUS")
    else
        mapfile -t cpus < <(local_cpus)
        cpus=("${cpus[@]:1}" "${cpus[0]}")
    fi
    for ((queue = 0; queue < $1; queue++)); do
        printf '%s\n' "${cpus[queue % ${#cpus[@]}]}"
    done
}

plan_irq_affinity() {
    local queues queue pid cpu
    local -a irqs workers free
    mapfile -t irqs < <(queue_interrupts | awk '{ print $2 }')
    ((${#irqs[@]})) || {
        skip irq-affinity "/proc/interrupts names none after a queue of $INTERFACE (as $INTERFACE-Tx-Rx-0)"
        return
    }
    queues=$(queues_to_be)
    mapfile -t workers < <(worker_cpus "$queues")
    if [[ $IRQ_PLACE == [0-9]* ]]; then
        mapfile -t free < <(expand_list "$IRQ_PLACE")
    else
        mapfile -t free < <(local_cpus | grep -vxFf <(printf '%s\n' "${workers[@]}"))
    fi
    if [[ $IRQ_PLACE == apart ]] && ((${#free[@]} == 0)); then
        skip irq-affinity "every processor near $INTERFACE has a worker (${workers[*]}); leave one out with --cpus"
        return
    fi
    if pid=$(irqbalance_pid) && ! leaves_alone "$pid" "${irqs[@]}"; then
        [[ $IRQBALANCE == stop ]] || {
            skip irq-affinity "irqbalance runs and would move the interrupts again; start it with the arguments$(
                printf ' --banirq=%s' "${irqs[@]}"
            ), or have it stopped with --irqbalance stop"
            return
        }
        plan_value irq-affinity service irqbalance inactive
    fi
    for ((queue = 0; queue < queues; queue++)); do
        cpu=${workers[queue]}
        if [[ $IRQ_PLACE != same ]] && ((${#free[@]})); then
            cpu=${free[queue % ${#free[@]}]}
        fi
        if planned channels || planned nic-ring; then
            # Whatever it is now: there may be no such queue yet, and drivers choose anew when they make their rings.
            add_step irq-affinity interrupt "$queue" "$(get_value interrupt "$queue" || printf -- -)" "$cpu"
        else
            plan_value irq-affinity interrupt "$queue" "$cpu"
        fi
    done
    if [[ $(driver driver) == ena ]] && ! captured_from >/dev/null; then
        note irq-affinity 'ENA chooses anew when a program is attached; set it again then (--only, and an own --state)'
    fi
}

# Whether irqbalance, process $1, was told to leave the interrupts $2… alone.
leaves_alone() {
    local words irq
    words=$(tr '\0' ' ' <"$TUNE_ROOT/proc/$1/cmdline")
    shift
    for irq; do
        [[ $words =~ (^|\ )(--banirq[=\ ]|-i\ ?)$irq(\ |$) ]] || return 1
    done
}
