#!/bin/sh
# SPDX-FileCopyrightText: 2026 The GNU Health Imaging Suite authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Serve a folder of worklist files with dcmtk's wlmscpfs in debug mode, which
# tells why an entry is or is not given to a modality.  For tests, not for
# daily work: Orthanc's worklist plugin reads the same folder.
set -eu

usage() {
    cat <<END
usage: $0 DIR PORT [AETITLE]

Serve the worklist files of the folder DIR on the DICOM port PORT, until it is
ended with Ctrl-C, and print what modalities ask and get.

wlmscpfs serves the files of DIR/AETITLE (default: WORKLIST), with a file
"lockfile" among them.  What is missing of these is made here, the folder as
a link to DIR itself, and is removed at the end.

wlmscpfs listens on all networks of this computer.
END
}

case "${1-}" in
-h | --help)
    usage
    exit 0
    ;;
esac
if [ $# -lt 2 ] || [ $# -gt 3 ]; then
    usage >&2
    exit 2
fi
dir=$1
port=$2
aetitle=${3:-WORKLIST}

fail() {
    echo "$1" >&2
    exit "$2"
}

case $port in
'' | *[!0-9]* | ??????*) fail "\"$port\" is no port number." 2 ;;
esac
case $aetitle in
*[!A-Za-z0-9_-]* | ?????????????????*)
    fail "\"$aetitle\" is no AE title of up to 16 letters and digits." 2
    ;;
esac
command -v wlmscpfs > /dev/null ||
    fail "The program wlmscpfs is missing: install dcmtk." 2
[ -d "$dir" ] || fail "There is no folder \"$dir\"." 5
dir=$(cd "$dir" && pwd)
folder=$dir/$aetitle

made_folder= made_lock= server=
clean() {
    trap - EXIT HUP INT TERM
    if [ -n "$server" ]; then
        kill "$server" 2> /dev/null || :
        wait "$server" 2> /dev/null || :
    fi
    [ -z "$made_lock" ] || rm -f "$folder/lockfile"
    [ -z "$made_folder" ] || rm -f "$folder"
}
trap clean EXIT
trap 'clean; exit 0' HUP INT TERM

if [ ! -d "$folder" ]; then
    ln -s . "$folder" || fail "The folder \"$dir\" cannot be used." 5
    made_folder=yes
fi
if [ ! -e "$folder/lockfile" ]; then
    : > "$folder/lockfile" || fail "The folder \"$folder\" cannot be used." 5
    made_lock=yes
fi

cat <<END
Serving the files *.wl of $folder

Ask as a modality does, from another terminal:
  findscu -W -X -aet CT1 -aec $aetitle 127.0.0.1 $port \\
    -k 0010,0010 -k 0010,0020 -k 0020,000d -k 0008,0050 \\
    -k "0040,0100[0].0040,0001" -k "0040,0100[0].0040,0002" \\
    -k "0040,0100[0].0008,0060"
  dcmdump +U8 rsp0001.dcm
END

wlmscpfs --debug --keep-char-set --data-files-path "$dir" "$port" &
server=$!
status=0
wait "$server" || status=$?
server=
exit "$status"
