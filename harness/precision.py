"""Where TF32 can be had: products of float32 matrices with factors rounded to 10 bits, on NVIDIA's GPUs alone."""

from harness.campaign import Campaign
from harness.errors import CampaignError
from harness.provenance import gpus

NO_TF32 = "needs an NVIDIA GPU, and there is none"


def possible(campaign: Campaign, source: str) -> None:
    """Raise CampaignError where a campaign asks this machine for TF32, and it has no GPU."""
    levels = [((), campaign), *((("case", number), case) for number, case in enumerate(campaign.case))]
    asked = next((where for where, level in levels if level.precision == "tf32"), None)
    if asked is not None and not gpus():
        raise CampaignError(source, (*asked, "precision"), NO_TF32, value="tf32")
