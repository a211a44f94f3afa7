# Made by: flume-ng --generate bash
_flume_ng() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} options=
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "agent check status verify letters generate help version" -- "$cur"))
    return
  fi
  case $prev in
    -n|--name) return ;;
    -f|--conf-file) COMPREPLY=($(compgen -f -- "$cur")); return ;;
    -u|--conf-uri) return ;;
    --timeout) return ;;
    --timeout) return ;;
    -c|--conf) COMPREPLY=($(compgen -d -- "$cur")); return ;;
    -C|--classpath) COMPREPLY=($(compgen -d -- "$cur")); return ;;
    --plugins-path) COMPREPLY=($(compgen -d -- "$cur")); return ;;
    -z|--zkConnString) return ;;
    -p|--zkBasePath) COMPREPLY=($(compgen -d -- "$cur")); return ;;
    --create-topic) return ;;
    --dir) COMPREPLY=($(compgen -d -- "$cur")); return ;;
    --pattern) return ;;
    --lines) return ;;
    --rate) return ;;
    --size) return ;;
    --since) return ;;
    --memory) return ;;
    --wait) return ;;
    --raw) return ;;
    --drop) return ;;
    --source) return ;;
    --timeout) return ;;
  esac
  case ${COMP_WORDS[1]} in
    agent) options="--name --conf-file --dryrun --no-reload-conf --once --timeout --conf --help" ;;
    check) options="--name --conf-file --conf --create-topic --verbose --json --help" ;;
    status) options="--name --conf-file --conf --json --prometheus --watch --wait --help" ;;
    verify) options="--name --conf-file --conf --json --whole-topic --range-only --allow-gone --all-agents --since --memory --help" ;;
    letters) options="--name --conf-file --conf --json --raw --resend --drop --give-up --source --timeout --help" ;;
    generate) options="--name --conf-file --dir --pattern --lines --rate --size --torn --json --help" ;;
    help) options="agent check status verify letters generate help version" ;;
  esac
  if [ "${COMP_WORDS[1]}" = agent ]; then
    case $cur in
    -D*) COMPREPLY=($(compgen -W "-Dflume.root.logger= -Dflume.log.format= -Dflume.monitoring.type= -Dflume.monitoring.port= -Dflume.monitoring.host=" -- "$cur")); return ;;
    esac
  fi
  case ${COMP_WORDS[1]}:$cur in
    verify:-*) ;;
    verify:*) COMPREPLY=($(compgen -f -- "$cur")); return ;;
  esac
  COMPREPLY=($(compgen -W "$options" -- "$cur"))
}
complete -o filenames -F _flume_ng flume-ng
