"""The command line: one short file a command. Heavy imports happen inside the commands."""
