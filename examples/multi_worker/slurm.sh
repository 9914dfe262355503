#!/bin/bash
# SE-ResNet-50 on ImageNet, the paper's training, on two nodes with four GPUs each: sbatch slurm.sh
# Not run on a real cluster yet. To be adapted: the partition, how many nodes and GPUs, and the folders, which all nodes share.

#SBATCH --job-name=seresnet50
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --exclusive
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=TERM@60

# Who the workers are, they learn from SLURM. When one has ended, another may still save the state: SLURM shall not kill it.
srun --kill-on-bad-exit=0 keras-senet train --strategy multi_worker --resume --save-every 500 \
  --recipe paper --model SEResNet50 --dataset imagenet2012 --data-dir "$HOME/tensorflow_datasets" --output "$HOME/runs/seresnet50"
status=$?

# 143: the minute before the time limit has begun, and the state is saved. A job that is preempted SLURM queues by itself.
if [ "$status" -eq 143 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
