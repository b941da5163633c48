# shellcheck shell=bash
# Shows the values that the levers are about. Sourced by tune, which sets INTERFACE, STATE and JSON.

# What is shown, one after the other. BEFORE is `-` where the state file knows nothing of a value.
SHOWN_LEVER=() SHOWN_NAME=() SHOWN_VALUE=() SHOWN_BEFORE=()

show() {
    local lever kind target value before step tuned=''
    local -A saved=() missing=()
    if [[ -e $STATE ]]; then
        tuned=1
        load_state
        for ((step = ${#STEP_LEVER[@]} - 1; step >= 0; step--)); do
            saved[${STEP_KIND[step]} ${STEP_TARGET[step]}]=${STEP_OLD[step]}
        done
    fi
    for lever in "${LEVERS[@]}"; do
        missing[$lever]=1
        while read -r kind target; do
            value=$(get_value "$kind" "$target") || continue
            before=${saved[$kind $target]:--}
            missing[$lever]=''
            SHOWN_LEVER+=("$lever")
            SHOWN_NAME+=("$(value_name "$kind" "$target")")
            SHOWN_VALUE+=("$value")
            SHOWN_BEFORE+=("$before")
        done < <(targets "$lever")
    done
    if [[ -n $JSON ]]; then
        show_json
    else
        show_text
    fi
}

show_text() {
    local entry next more lever
    printf '%s: driver %s %s, %s receive queue(s), %s\n' "$INTERFACE" "$(driver driver)" "$(driver version)" \
        "$(files "/sys/class/net/$INTERFACE/queues/rx-*" | wc -l)" \
        "$(if [[ -n $tuned ]]; then printf 'tuned, as %s says' "$STATE"; else printf 'not tuned'; fi)"
    for ((entry = 0; entry < ${#SHOWN_LEVER[@]}; entry = next)); do
        # Those with the same values stand together.
        next=$((entry + 1))
        while [[ ${SHOWN_LEVER[next]:-} == "${SHOWN_LEVER[entry]}" && ${SHOWN_VALUE[next]} == "${SHOWN_VALUE[entry]}" &&
            ${SHOWN_BEFORE[next]} == "${SHOWN_BEFORE[entry]}" ]]; do
            next=$((next + 1))
        done
        more=$((next - entry - 1))
        printf '  %-22s %s  %s' "${SHOWN_LEVER[entry]}" "${SHOWN_VALUE[entry]}" "${SHOWN_NAME[entry]}"
        ((more == 0)) || printf ' and %s more' "$more"
        [[ ${SHOWN_BEFORE[entry]} == - ]] || printf ' (before: %s)' "${SHOWN_BEFORE[entry]}"
        printf '\n'
    done
    for lever in "${LEVERS[@]}"; do
        [[ -z ${missing[$lever]} ]] || printf '  %-22s not here\n' "$lever"
    done
}

show_json() {
    local entry lever separator=''
    printf '{\n  "interface": %s,\n  "driver": %s,\n  "version": %s,\n  "state": %s,\n  "values": [' \
        "$(json "$INTERFACE")" "$(json "$(driver driver)")" "$(json "$(driver version)")" \
        "$(if [[ -n $tuned ]]; then json "$STATE"; else printf null; fi)"
    for ((entry = 0; entry < ${#SHOWN_LEVER[@]}; entry++)); do
        printf '%s\n    {"lever": %s, "name": %s, "value": %s, "before": %s}' "$separator" \
            "$(json "${SHOWN_LEVER[entry]}")" "$(json "${SHOWN_NAME[entry]}")" "$(json "${SHOWN_VALUE[entry]}")" \
            "$(if [[ ${SHOWN_BEFORE[entry]} == - ]]; then printf null; else json "${SHOWN_BEFORE[entry]}"; fi)"
        separator=,
    done
    printf '\n  ],\n  "not_here": ['
    separator=''
    for lever in "${LEVERS[@]}"; do
        [[ -n ${missing[$lever]} ]] || continue
        printf '%s%s' "$separator" "$(json "$lever")"
        separator=', '
    done
    printf ']\n}\n'
}

# Prints a text as JSON.
json() {
    local text=${1//\\/\\\\}
    text=${text//\"/\\\"}
    printf '"%s"' "${text//[[:cntrl:]]/ }"
}
