"""Where TF32 can be had: products of float32 matrices with factors rounded to 10 bits, on NVIDIA's GPUs alone."""

from optbench.campaign.campaign import Campaign
from optbench.campaign.errors import CampaignError
from optbench.records.provenance import gpus

NO_TF32 = "needs an NVIDIA GPU, and there is none"


def possible(campaign: Campaign, source: str) -> None:
    """Raise CampaignError where a campaign asks this machine for TF32, and it has no GPU."""
    levels = [
        ((), campaign),
        *((("case", number), case) for number, case in enumerate(campaign.case)),
    ]
    asked = next((where for where, level in levels if level.precision == "tf32"), None)
    if asked is not None and not gpus():
        raise CampaignError(source, (*asked, "precision"), NO_TF32, value="tf32")
