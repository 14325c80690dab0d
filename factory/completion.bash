eval "$(mn-factory completion bash)"
