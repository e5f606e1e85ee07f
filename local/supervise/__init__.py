"""Processes kept running: started anew when they end, ended with their owner, their output in log files."""
