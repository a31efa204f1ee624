"""The command line: LightningCLI with commands of our own, their help, options and refusals."""
