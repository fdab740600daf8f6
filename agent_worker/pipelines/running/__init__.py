"""Run a definition: `runner` goes through its steps, `blocks` does what each kind says, `toolbox` has what models may call."""
