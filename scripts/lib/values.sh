# shellcheck shell=bash
# Values that can be read and set, by kind: files of the kernel, what ethtool shows, interrupts and services.
# Sourced by tune, which sets INTERFACE.

# Put before /proc and /sys; only tests set it.
TUNE_ROOT=${TUNE_ROOT:-}

# What the last `set_value` that failed said.
REFUSAL=''

# Prints the value of kind $1 of target $2; fails where there is none.
get_value() {
    local kind=$1 target=$2 value
    case $kind in
        file | pages | choice)
            value=$(read_file "$target") || return 1
            # Where there is a choice, brackets are round what is chosen.
            if [[ $kind == choice ]]; then
                [[ $value =~ \[([^]]+)\] ]] || return 1
                value=${BASH_REMATCH[1]}
            fi
            ;;
        channels) value=$(ethtool_number -l current Combined) || return 1 ;;
        nic-ring) value=$(ethtool_number -g current RX) || return 1 ;;
        coalescing) value=$(coalescing) || return 1 ;;
        offload) value=$(feature "$target") || return 1 ;;
        interrupt)
            local irq
            irq=$(interrupt_of_queue "$target") || return 1
            value=$(read_file "/proc/irq/$irq/smp_affinity_list") || return 1
            ;;
        service) if irqbalance_pid >/dev/null; then value=active; else value=inactive; fi ;;
    esac
    printf '%s\n' "$value"
}

# Sets the value of kind $1 of target $2 to $3; when that fails, REFUSAL says why.
set_value() {
    local kind=$1 target=$2 value=$3
    case $kind in
        file | choice) write_file "$target" "$value" ;;
        pages)
            write_file "$target" "$value" || return 1
            # The kernel reserves what it can, and says nothing where that is less.
            local reserved
            reserved=$(get_value pages "$target") || reserved=0
            [[ $reserved == "$value" ]] || {
                REFUSAL="the kernel reserved $reserved: its memory is full or fragmented; reserve them when it starts"
                REFUSAL+=" (hugepages=$value on its command line), or ask for fewer with --huge-pages"
                return 1
            }
            ;;
        channels) attempt ethtool -L "$INTERFACE" combined "$value" ;;
        nic-ring) attempt ethtool -G "$INTERFACE" rx "$value" ;;
        # The value is a list of names and values, as ethtool takes it.
        coalescing) read -ra words <<<"$value" && attempt ethtool -C "$INTERFACE" "${words[@]}" ;;
        offload) attempt ethtool -K "$INTERFACE" "$target" "$value" ;;
        interrupt)
            local irq
            irq=$(interrupt_of_queue "$target") || {
                REFUSAL="there is no interrupt of queue $target any more"
                return 1
            }
            write_file "/proc/irq/$irq/smp_affinity_list" "$value"
            ;;
        service)
            if [[ $value == active ]]; then
                attempt systemctl start "$target"
            else
                attempt systemctl stop "$target"
            fi
            ;;
    esac
}

# What a value of kind $1 of target $2 is called.
value_name() {
    case $1 in
        file | pages | choice) printf '%s\n' "$2" ;;
        channels | nic-ring | coalescing) printf '%s\n' "$INTERFACE" ;;
        offload) printf '%s %s\n' "$INTERFACE" "$2" ;;
        interrupt) printf 'interrupt of queue %s\n' "$2" ;;
        service) printf 'service %s\n' "$2" ;;
    esac
}

# Whether a value of kind $1 of target $2 goes away with the interface.
belongs_to_interface() {
    case $1 in
        channels | nic-ring | coalescing | offload | interrupt) true ;;
        *) [[ $2 == /sys/class/net/* ]] ;;
    esac
}

# Whether two values of a file are the same; an empty mask is written with as many zeros as there are processors.
same_value() {
    [[ $1 == "$2" || $1$2 =~ ^[0,]+$ ]]
}

# Prints kind and target of each file that the pattern $1 matches.
files() {
    local file
    while read -r file; do
        printf 'file %s\n' "${file#"$TUNE_ROOT"}"
    done < <(compgen -G "$TUNE_ROOT$1" | sort -V)
}

# Prints what is in the kernel's file $1; fails where it is not there, cannot be read or is empty.
read_file() {
    local text=''
    { IFS= read -rd '' text <"$TUNE_ROOT$1" || [[ -n $text ]]; } 2>/dev/null || return 1
    printf '%s\n' "${text%$'\n'}"
}

# Writes $2 to the kernel's file $1.
write_file() {
    REFUSAL=$({ printf '%s\n' "$2" >"$TUNE_ROOT$1"; } 2>&1) || {
        REFUSAL=${REFUSAL##*: }
        return 1
    }
}

# Runs a command; its words are the refusal.
attempt() {
    REFUSAL=$("$@" 2>&1 </dev/null) || {
        REFUSAL=${REFUSAL//$'\n'/; }
        REFUSAL=${REFUSAL:-$1 says nothing more}
        return 1
    }
}

# Prints the number of the row $3 in what `ethtool $1` shows, of the values that are current or, with $2 `maximum`, of
# those that are possible.
ethtool_number() {
    ethtool "$1" "$INTERFACE" 2>/dev/null | awk -v part="$2" -v row="$3:" '
        /^Pre-set maximums/ { now = "maximum" }
        /^Current hardware settings/ { now = "current" }
        now == part && !found && $1 == row && $2 ~ /^[0-9]+$/ { print $2; found = 1 }
        END { exit !found }'
}

# Prints how interrupts are coalesced, as words that `ethtool -C` takes.
coalescing() {
    ethtool -c "$INTERFACE" 2>/dev/null | awk '
        $1 == "Adaptive" && $2 == "RX:" && $3 ~ /^(on|off)$/ { words = "adaptive-rx " $3 " " }
        $1 == "rx-usecs:" && $2 ~ /^[0-9]+$/ { words = words "rx-usecs " $2 }
        END { sub(/ $/, "", words); print words; exit words == "" }'
}

# Prints whether the offload $1 is on or off; fails where it cannot be changed.
feature() {
    ethtool -k "$INTERFACE" 2>/dev/null | awk -v name="$1:" '
        $1 == name && $3 != "[fixed]" { print $2; found = 1 }
        END { exit !found }'
}

# Prints a line `QUEUE IRQ` for each interrupt that is named after the interface and a receive queue of it, as
# eth1-Tx-Rx-0 is.
queue_interrupts() {
    awk -v prefix="$INTERFACE-" '
        index($NF, prefix) == 1 {
            name = tolower(substr($NF, length(prefix) + 1))
            if (name ~ /rx.*-[0-9]+$/) {
                queue = name
                sub(/.*-/, "", queue)
                sub(/:$/, "", $1)
                print queue, $1
            }
        }' "$TUNE_ROOT/proc/interrupts"
}

# Prints the number of the interrupt of receive queue $1.
interrupt_of_queue() {
    queue_interrupts | awk -v queue="$1" '$1 == queue && !found { print $2; found = 1 } END { exit !found }'
}

# Prints the process id of irqbalance; fails where it does not run.
irqbalance_pid() {
    local comm
    # Processes end while this looks; grep's exit code would be about them.
    comm=$(grep -slx irqbalance "$TUNE_ROOT"/proc/[0-9]*/comm || true)
    [[ $comm =~ /([0-9]+)/comm ]] || return 1
    printf '%s\n' "${BASH_REMATCH[1]}"
}

# Prints a list such as 0-3,8 as numbers, one a line.
expand_list() {
    local part
    local -a parts
    IFS=, read -ra parts <<<"$1"
    for part in "${parts[@]}"; do
        seq "${part%-*}" "${part#*-}"
    done
}
