"""What a job needs before it runs: memory, time, disk; told from sizes alone, without torch."""
