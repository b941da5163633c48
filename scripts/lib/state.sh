# shellcheck shell=bash
# Applying a plan and taking it back, with the state file between the two.
# Sourced by tune, which sets INTERFACE, STATE and DRY_RUN.
#
# The state file is text with tabs: a line that says what it is, one with the interface and its index, and one for each
# step: lever, kind, target, value before, value after. It is complete before the first value is changed.

STATE_TITLE='mirror-capture tune 1'

# Index of the interface that the state file is about; empty while there is none.
SAVED_INDEX=''
# The step that is being made.
STEP=0

apply() {
    local lever
    [[ ! -e $STATE ]] || fail "$INTERFACE is tuned already, as $STATE says: undo that first (tune undo --interface" \
        "$INTERFACE), or name another file with --state if it is about another network namespace"
    plan
    for lever in "${LEVERS[@]}"; do
        [[ -z ${SKIPPED[$lever]:-} ]] || ! explicit "$lever" || fail "$lever: ${SKIPPED[$lever]}; nothing was changed"
    done
    if [[ -n $DRY_RUN ]]; then
        print_steps 'would set' STEP_OLD STEP_NEW
        print_rest
        return
    fi
    save_state
    trap 'roll_back' EXIT
    trap 'exit 1' INT TERM HUP
    for ((STEP = 0; STEP < ${#STEP_LEVER[@]}; STEP++)); do
        [[ ${STEP_NEW[STEP]} != - ]] || continue
        set_value "${STEP_KIND[STEP]}" "${STEP_TARGET[STEP]}" "${STEP_NEW[STEP]}" ||
            fail "${STEP_LEVER[STEP]}: $(step_name "$STEP") cannot be set to ${STEP_NEW[STEP]}: $REFUSAL; ask for" \
                "another value, or leave it out with --skip ${STEP_LEVER[STEP]}"
    done
    trap - EXIT INT TERM HUP
    print_steps 'set' STEP_OLD STEP_NEW
    print_rest
    printf 'what was before is in %s; tune undo puts it back\n' "$STATE"
}

# Puts back what `apply` has changed until it was stopped.
roll_back() {
    trap '' INT TERM HUP
    if put_back "$STEP"; then
        rm -f "$STATE"
        printf 'everything is as it was before\n' >&2
    else
        printf 'mend what is named above, then: tune undo --interface %s --state %s\n' "$INTERFACE" "$STATE" >&2
    fi
    exit 1
}

undo() {
    local step last
    [[ -e $STATE ]] || fail "there is no $STATE, so there is nothing to undo for $INTERFACE; --state names" \
        "another file"
    load_state
    last=$((${#STEP_LEVER[@]} - 1))
    for ((step = 0; step <= last; step++)); do
        [[ ${STEP_KIND[step]} == channels || ${STEP_KIND[step]} == nic-ring ]] || continue
        ! has_changed "$step" || ! captured_from >/dev/null || fail "${STEP_LEVER[step]}: $(captured_from)"
    done
    if [[ -n $DRY_RUN ]]; then
        print_steps 'would put back' STEP_NEW STEP_OLD
        return
    fi
    put_back "$last" || fail "not everything is as it was before; mend what is named above and undo again"
    rm "$STATE"
    if [[ $SAVED_INDEX == "$(interface_index)" ]]; then
        printf '%s and the host are as they were before\n' "$INTERFACE"
    else
        printf 'the host is as it was before; the %s that was tuned is gone\n' "$INTERFACE"
    fi
}

# Puts back the values of the steps up to $1, the last one first; fails where one cannot be, after all the others.
put_back() {
    local step failed=
    for ((step = $1; step >= 0; step--)); do
        has_changed "$step" || continue
        set_value "${STEP_KIND[step]}" "${STEP_TARGET[step]}" "${STEP_OLD[step]}" || {
            printf 'error: %s: %s cannot be set back to %s: %s\n' "${STEP_LEVER[step]}" "$(step_name "$step")" \
                "${STEP_OLD[step]}" "$REFUSAL" >&2
            failed=1
        }
    done
    [[ -z $failed ]]
}

# Whether the value of step $1 is still there and not as it was before.
has_changed() {
    local kind=${STEP_KIND[$1]} target=${STEP_TARGET[$1]} now
    [[ ${STEP_OLD[$1]} != - ]] || return 1
    ! belongs_to_interface "$kind" "$target" || [[ $SAVED_INDEX == "$(interface_index)" ]] || return 1
    now=$(get_value "$kind" "$target") || return 1
    [[ $now != "${STEP_OLD[$1]}" ]]
}

interface_index() {
    read_file "/sys/class/net/$INTERFACE/ifindex" || printf 'none\n'
}

step_name() {
    value_name "${STEP_KIND[$1]}" "${STEP_TARGET[$1]}"
}

# Writes the plan into the state file, whole or not at all; fails where there is one already.
save_state() {
    local step new
    SAVED_INDEX=$(interface_index)
    mkdir -p "$(dirname "$STATE")" || fail "the directory of $STATE cannot be made; name another file with --state"
    new=$(mktemp "$STATE.XXXXXX") || fail "$STATE cannot be written; name another file with --state"
    {
        printf '%s\ninterface\t%s\t%s\n' "$STATE_TITLE" "$INTERFACE" "$SAVED_INDEX"
        for ((step = 0; step < ${#STEP_LEVER[@]}; step++)); do
            printf '%s\t%s\t%s\t%s\t%s\n' "${STEP_LEVER[step]}" "${STEP_KIND[step]}" "${STEP_TARGET[step]}" \
                "${STEP_OLD[step]}" "${STEP_NEW[step]}"
        done
    } >"$new"
    chmod 644 "$new"
    # A link, unlike a move, does not replace what another run has just made.
    sync "$new"
    ln "$new" "$STATE" 2>/dev/null || {
        rm "$new"
        fail "another run has just tuned $INTERFACE ($STATE); undo that first"
    }
    rm "$new"
}

# Reads the steps from the state file.
load_state() {
    local title lever kind target old new
    {
        read -r title
        IFS=$'\t' read -r kind target SAVED_INDEX
        [[ $title == "$STATE_TITLE" && $kind == interface && $target == "$INTERFACE" ]] ||
            fail "$STATE is no state file of tune about $INTERFACE; --state names another one"
        while IFS=$'\t' read -r lever kind target old new; do
            add_step "$lever" "$kind" "$target" "$old" "$new"
        done
    } <"$STATE"
}

# Prints the steps that change a value, those with the same values together: what becomes of them ($1), and the values
# of the arrays $2 and $3.
print_steps() {
    local -n from=$2 to=$3
    local step next last
    for ((step = 0; step < ${#STEP_LEVER[@]}; step = next)); do
        next=$((step + 1))
        [[ ${STEP_NEW[step]} != - && ${to[step]} != - ]] || continue
        while [[ ${STEP_LEVER[next]:-} == "${STEP_LEVER[step]}" && ${from[next]} == "${from[step]}" &&
            ${to[next]} == "${to[step]}" ]]; do
            next=$((next + 1))
        done
        last=$((next - step - 1))
        printf '%s %s: %s' "$1" "${STEP_LEVER[step]}" "$(step_name "$step")"
        ((last == 0)) || printf ' and %s more' "$last"
        printf ': %s -> %s\n' "${from[step]}" "${to[step]}"
    done
}
