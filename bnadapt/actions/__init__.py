"""The work of commands, callbacks and the plugin: plain functions from a task and its data to a frozen result."""
