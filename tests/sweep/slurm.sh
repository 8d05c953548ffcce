#!/bin/bash
# Slurm on this machine alone, in a folder of its own: a controller, one node with two processors, and munge, by which they
# know each other. Serves until standard input ends. Needs Debian's packages slurmctld, slurmd, slurm-client and munge.
# Usage: slurm.sh FOLDER PORT
set -eu
folder=$1 port=$2 host=$(hostname -s)
mkdir -p "$folder/state" "$folder/spool"
chmod 700 "$folder"
dd if=/dev/urandom of="$folder/munge.key" bs=1024 count=1 status=none
chmod 400 "$folder/munge.key"
cat > "$folder/slurm.conf" <<CONFIGURATION
ClusterName=tests
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
MpiDefault=none
NodeName=$host NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=all Nodes=$host Default=YES State=UP
CONFIGURATION
export SLURM_CONF="$folder/slurm.conf"
munged --force --foreground --socket="$folder/munge.socket" --key-file="$folder/munge.key" \
    --pid-file="$folder/munged.pid" --log-file="$folder/munged.log" --seed-file="$folder/munged.seed" \
    > "$folder/munged.out" 2>&1 &
processes=$!
trap 'kill $processes; wait' EXIT
while [ ! -S "$folder/munge.socket" ]; do sleep 0.1; kill -0 "$processes"; done
slurmctld -D > "$folder/slurmctld.log" 2>&1 &
processes="$processes $!"
slurmd -D > "$folder/slurmd.log" 2>&1 &
processes="$processes $!"
until sinfo --noheader --states=idle 2> "$folder/sinfo.log" | grep --quiet idle; do
    sleep 0.2
    for process in $processes; do kill -0 "$process"; done
done
echo ready
cat > /dev/null
