"""Results of the engines' own benchmark tools: vLLM and SGLang `bench serve`, trtllm-bench, AIPerf, InferenceX."""
