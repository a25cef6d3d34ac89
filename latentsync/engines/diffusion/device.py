"""Where the networks run, and in which number format."""

import os

import torch

from latentsync.errors import InputError

# Without a workspace cuBLAS takes kernels as fast (H200) that need none of it cleared before each product: no gaps.
WITHOUT_WORKSPACE = {"CUBLAS_WORKSPACE_CONFIG": ":0:0", "CUBLASLT_WORKSPACE_SIZE": "0"}


def pick_device(name: str, gpu: int = 0) -> torch.device:
    """The CPU, or the GPU of index ``gpu``; raises ``InputError`` when it is not there."""
    if name == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise InputError(
            "the latentsync engine needs a CUDA GPU and none is visible to PyTorch "
            f"{torch.__version__}: check nvidia-smi and the CUDA build of torch, use --engine warp for a preview, "
            "or --device cpu to wait for minutes per second of video"
        )
    if gpu >= torch.cuda.device_count():
        raise InputError(f"there is no GPU {gpu}: {torch.cuda.device_count()} CUDA GPUs are visible")
    for name, value in WITHOUT_WORKSPACE.items():
        os.environ.setdefault(name, value)  # torch looks at its first product
    return torch.device("cuda", gpu)


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """The number format asked for; auto: float16 on a GPU, which is ten times as exact as bfloat16."""
    if name != "auto":
        return {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}[name]
    if device.type != "cuda":
        return torch.float32
    major, _ = torch.cuda.get_device_capability(device)
    return torch.float16 if major >= 7 else torch.float32
