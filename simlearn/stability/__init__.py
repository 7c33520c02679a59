"""The judge: checks, findings, the gate and its report. Shares no code with training."""
