# shellcheck shell=bash
# The levers of the host: memory and processors. Sourced by tune; see levers.sh.

# Bytes of a packet buffer: FRAME_SIZE in mirror-user/src/xsk.
FRAME_SIZE=4096

# Prints the number in the row $1 of /proc/meminfo; nothing where there is none.
meminfo() {
    awk -v row="$1:" '$1 == row { print $2 }' "$TUNE_ROOT/proc/meminfo"
}

# Prints the NUMA node of the interface, or -1.
numa_node() {
    read_file "/sys/class/net/$INTERFACE/device/numa_node" || printf -- '-1\n'
}

# Prints the file with the number of huge pages: that of the NIC's node where there are several, because
# vm.nr_hugepages spreads pages over all of them.
huge_pages_file() {
    local -a nodes
    nodes=("$TUNE_ROOT"/sys/devices/system/node/node[0-9]*)
    if ((${#nodes[@]} > 1 && $(numa_node) >= 0)); then
        printf '/sys/devices/system/node/node%s/hugepages/hugepages-%skB/nr_hugepages\n' "$(numa_node)" \
            "$(meminfo Hugepagesize)"
    else
        printf '/proc/sys/vm/nr_hugepages\n'
    fi
}

plan_huge_pages() {
    local file pages=$HUGE_PAGES size total free
    size=$(meminfo Hugepagesize)
    file=$(huge_pages_file)
    total=$(get_value pages "$file") || {
        skip huge-pages "the kernel has no huge pages ($file is missing)"
        return
    }
    if [[ -z $pages ]]; then
        if [[ $file == /proc/* ]]; then
            free=$(($(meminfo HugePages_Free) - $(meminfo HugePages_Rsvd)))
        else
            free=$(get_value file "${file%nr_hugepages}free_hugepages")
        fi
        # Each queue has a mapping of its own, so each is rounded up. What is in use stays in use.
        pages=$(($(queues_to_be) * ((FRAMES * FRAME_SIZE + size * 1024 - 1) / (size * 1024))))
        pages=$((free > pages ? total : total - free + pages))
    fi
    plan_value huge-pages pages "$file" "$pages"
}

plan_transparent_huge_pages() {
    local now
    now=$(get_value choice /sys/kernel/mm/transparent_hugepage/enabled) || {
        skip transparent-huge-pages 'the kernel has none (CONFIG_TRANSPARENT_HUGEPAGE)'
        return
    }
    # The flow table asks for them itself; with `always` it gets them too.
    plan_value transparent-huge-pages choice /sys/kernel/mm/transparent_hugepage/enabled "${now/never/madvise}"
}

plan_governor() {
    local kind file found=
    while read -r kind file; do
        [[ " $(get_value file "${file%governor}available_governors" || true) " == *" $GOVERNOR "* ]] || continue
        ! plan_value governor "$kind" "$file" "$GOVERNOR" || found=1
    done < <(targets governor)
    [[ -n $found ]] || skip governor "no processor has a frequency governor $GOVERNOR here"
}

plan_c_states() {
    local kind file latency found='' deep=''
    while read -r kind file; do
        latency=$(get_value file "${file%disable}latency") || continue
        found=1
        ((latency > EXIT_LATENCY)) || continue
        ! plan_value c-states "$kind" "$file" 1 || deep=1
    done < <(targets c-states)
    if [[ -z $found ]]; then
        skip c-states 'the kernel has no idle states to choose from here'
    elif [[ -z $deep ]]; then
        skip c-states "no idle state takes longer than $EXIT_LATENCY µs to leave"
    fi
}
