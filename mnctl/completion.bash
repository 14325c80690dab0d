eval "$(mnctl completion bash)"
