#!/usr/bin/env bash
# Vivado HLS, Vitis HLS, vitis-run or Vivado on another machine, over ssh: docs/howto-server.md says more.
#
# Link it under the name of each tool it is to be, and give the link, or the folder of several, as --tool:
#
#   mkdir ~/remote; for tool in vitis_hls vivado; do ln -s "$PWD/vivado_scripts/remote_hls.sh" ~/remote/$tool; done
#   export REMOTE_HLS_HOST=me@server REMOTE_HLS_SETUP=/opt/Xilinx/Vitis_HLS/2022.2/settings64.sh
#   flow synth --tool ~/remote
#
# It copies the current folder to a new folder on the server, runs the tool there, copies back what is new or changed,
# removes what is gone, and ends with the tool's exit status. The folder on the server is removed however it ends, and a
# tool whose connection is lost is ended. Both sides need bash, tar and find (GNU's on the server).
#
#   REMOTE_HLS_HOST   the server, as ssh takes it: host, user@host, or a Host of ~/.ssh/config. No password can be asked.
#   REMOTE_HLS_SETUP  scripts to source on the server first, separated by colons: the tools' settings64.sh
#   REMOTE_HLS_DIR    where the folder is made on the server, default /tmp; it must hold the project and its results
#   REMOTE_HLS_SSH    options for ssh, separated by blanks, such as "-p 2222 -i key"

set -u

readonly UNREACHABLE=255 # what ssh ends with if it cannot connect
readonly SKIPPED=(--exclude=./logs --exclude=./csim --exclude=./.synth.lock)

tool=$(basename -- "$0")
host=${REMOTE_HLS_HOST:-}
root=${REMOTE_HLS_DIR:-/tmp}
setup=${REMOTE_HLS_SETUP:-}
read -r -a ssh_options <<<"${REMOTE_HLS_SSH:-}"
folder=''  # on the server
scratch='' # here
connection=''

fail() { # fail STATUS MESSAGE
  echo "ERROR: remote_hls: $2" >&2
  exit "$1"
}

remote() { # remote WORD...: words of plain characters, since the server's login shell may be any
  ssh -o BatchMode=yes -o ConnectTimeout=15 -o ServerAliveInterval=30 \
    ${ssh_options[@]+"${ssh_options[@]}"} -- "$host" "$@"
}

check() { # check STATUS WHEN: ends if the connection could not be made, or was lost
  [ "$1" -ne "$UNREACHABLE" ] ||
    fail "$UNREACHABLE" "cannot reach $host by ssh $2: is it up, and can you log in to it without a password?"
}

cleanup() {
  trap - EXIT INT TERM HUP
  exec 9>&- # the end of its input ends the tool on the server
  if [ -n "$connection" ]; then wait "$connection" 2>/dev/null; fi
  if [ -n "$folder" ]; then remote rm -rf "$folder" >/dev/null 2>&1; fi
  if [ -n "$scratch" ]; then rm -rf -- "$scratch"; fi
}

stop() { # stop SIGNAL_NUMBER
  cleanup
  exit $((128 + $1))
}

# What runs on the server is bash; %q makes words that it reads as they are here, whatever is in them.

prologue() { # the tools' environment
  local file
  local -a files
  IFS=: read -r -a files <<<"$setup"
  for file in ${files[@]+"${files[@]}"}; do
    printf 'if [ ! -r %q ]; then echo "ERROR: remote_hls: no "%q" on $(hostname): see REMOTE_HLS_SETUP"; exit 2; fi\n' \
      "$file" "$file"
    printf 'source %q </dev/null >/dev/null\n' "$file"
  done
  printf 'if ! command -v %s >/dev/null; then\n' "$tool"
  printf '  echo "ERROR: remote_hls: no %s on $(hostname): set REMOTE_HLS_SETUP"; exit 127\nfi\n' "$tool"
}

arguments() { # arguments ARGUMENT...: paths in this folder are moved there, and other files copied along
  local argument number=0 name
  printf 'arguments=('
  for argument in "$@"; do
    if [ "$argument" = "$PWD" ] || [ "${argument#"$PWD"/}" != "$argument" ]; then
      printf '"$here"%q ' "${argument#"$PWD"}"
    elif [ "${argument#/}" != "$argument" ] && [ -f "$argument" ]; then
      number=$((number + 1))
      name=$number-$(basename -- "$argument")
      cp -- "$argument" "$scratch/.remote_hls/$name"
      printf '"$here"/.remote_hls/%q ' "$name"
    else
      printf '%q ' "$argument"
    fi
  done
  printf ')\n'
}

keeper() { # runs the tool in a process group of its own, and ends it and its folder if our input ends first
  cat <<'END'
find . -path ./.remote_hls -prune -o -type f -print0 | sort -z >.remote_hls/before
touch .remote_hls/stamp
exec 3<&0
set -m
"$tool" "${arguments[@]}" </dev/null 3<&- &
running=$!
set +m
{
  cat <&3
  touch .remote_hls/lost
  kill -TERM -- "-$running"
  for second in 1 2 3 4 5 6 7 8; do
    kill -0 -- "-$running" || break
    sleep 1
  done
  kill -KILL -- "-$running"
  cd /
  rm -rf -- "$here"
} >/dev/null 2>&1 &
watch=$!
wait "$running"
status=$?
if [ -e .remote_hls/lost ]; then
  wait "$watch"
else
  kill "$watch" 2>/dev/null
fi
kill -KILL -- "-$running" 2>/dev/null
exit "$status"
END
}

fetch() { # what the run has written, and the names of what it has removed
  printf 'cd %s || exit 1\n' "$folder"
  cat <<'END'
find . -path ./.remote_hls -prune -o -type f -print0 | sort -z >.remote_hls/after
comm -z -23 .remote_hls/before .remote_hls/after >.remote_hls/gone
find . -path ./.remote_hls -prune -o -type f -newer .remote_hls/stamp -print0 >.remote_hls/new
printf './.remote_hls/gone\0' >>.remote_hls/new
tar -czf - --null -T .remote_hls/new
END
}

case $tool in
  vivado_hls | vitis_hls | vitis-run | vivado) ;;
  *) fail 2 "it is called $tool: link it as vivado_hls, vitis_hls, vitis-run or vivado" ;;
esac
case $host in
  '') fail 2 'which server? set REMOTE_HLS_HOST' ;;
  -*) fail 2 "REMOTE_HLS_HOST is $host, which is no host" ;;
esac
case $root in
  [!/]* | *[!A-Za-z0-9._/-]* | '') fail 2 "REMOTE_HLS_DIR must be a full path of plain characters, not $root" ;;
esac

if [ "$#" -eq 1 ]; then
  case $1 in
    -version | --version) # nothing needs to be copied for that
      { prologue && printf 'exec %s %s </dev/null\n' "$tool" "$1"; } | remote bash -s
      status=$?
      check "$status" 'to ask for the version'
      exit "$status"
      ;;
  esac
fi

exec 9>/dev/null
trap cleanup EXIT
trap 'stop 2' INT
trap 'stop 15' TERM
trap 'stop 1' HUP

scratch=$(mktemp -d) || fail 1 'cannot make a temporary folder'
mkdir "$scratch/.remote_hls"
{
  printf 'here=$(cd "$(dirname "$0")/.." && pwd) || exit 1\ncd "$here" || exit 1\ntool=%s\n' "$tool"
  arguments "$@"
  prologue
  keeper
} >"$scratch/.remote_hls/run"

made=$(remote mktemp -d "$root/remote_hls.XXXXXXXXXX")
status=$?
check "$status" 'to start'
[ "$status" -eq 0 ] || fail 1 "cannot make a folder in $root on $host: set REMOTE_HLS_DIR"
name=${made#"$root/remote_hls."}
case $name in
  *[!A-Za-z0-9]* | '') fail 1 "$host answers $made instead of a folder: its login prints something else" ;;
esac
folder=$root/remote_hls.$name

# Files get the time of the server (-m): what is newer than the stamp there is what the run has written.
tar "${SKIPPED[@]}" -czf - -C "$PWD" . -C "$scratch" ./.remote_hls | remote tar -xzmf - -C "$folder"
copied=("${PIPESTATUS[@]}")
check "${copied[1]}" 'while the project was copied'
[ "${copied[0]}" -le 1 ] && [ "${copied[1]}" -eq 0 ] ||
  fail 1 "cannot copy the project to $folder on $host: no space left on device?"

# Our end of this pipe closes however this script ends, and with it the input of the tool's keeper.
mkfifo "$scratch/alive"
exec 9<>"$scratch/alive"
remote bash "$folder/.remote_hls/run" <"$scratch/alive" 9>&- &
connection=$!
wait "$connection"
ended=$?
connection=''
check "$ended" "while $tool ran"

fetch >"$scratch/fetch"
remote bash -s <"$scratch/fetch" | tar -xzmf -
copied=("${PIPESTATUS[@]}")
check "${copied[0]}" 'while the results were copied'
if [ "${copied[0]}" -eq 0 ] && [ "${copied[1]}" -eq 0 ]; then
  while IFS= read -r -d '' path; do
    case $path in
      */../* | [!.]*) ;; # not ours
      *) rm -f -- "$path" ;;
    esac
  done <.remote_hls/gone
  rm -rf .remote_hls
elif [ "$ended" -eq 0 ]; then
  fail 1 "cannot copy the results back from $folder on $host: no space left on device?"
fi
exit "$ended"
