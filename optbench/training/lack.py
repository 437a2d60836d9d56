"""Whether an error says that memory is lacking."""

LACK_OF_MEMORY = (  # in JAX's, PyTorch's and CUDA's words
    *("RESOURCE_EXHAUSTED", "can't allocate memory", "not enough memory", "out of memory"),
    *("CUBLAS_STATUS_ALLOC_FAILED", "CUSOLVER_STATUS_ALLOC_FAILED"),
)


def lacks_memory(error: BaseException) -> bool:
    """By the error's type or its words."""
    by_name = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return by_name or any(words in str(error) for words in LACK_OF_MEMORY)
