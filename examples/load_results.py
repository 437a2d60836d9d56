"""Load published results as pandas frames, and draw what you want to see."""

from pathlib import Path

import matplotlib.pyplot as plt
import seaborn as sns

import optbench

runs, history = optbench.load(Path(__file__).parents[1] / "results" / "cpu")
print(f"{len(runs)} runs, {len(history)} recorded steps")
print(runs["status"].value_counts().to_string())

answers = runs["status"].isin(["finished", "stalled"])
case = runs[(runs["problem"] == "poisson_sine_2d") & answers]
case = case[(case["parameters"] == 257) & (case["hyperparameters_from"] != "paper")]
best = (
    case.groupby(["label", "framework"])["relative_l2"]
    .median()
    .unstack()
    .sort_values("jax")
)
print(f"\n{case['case'].iloc[0]}: median over seeds of the final relative L2 error")
print(best.map("{:.1e}".format).to_string())

shown = case[case["label"].isin(["adam", "lbfgs_wolfe", "kfac_star", "engd"])]
curves = history.merge(shown[["run", "label", "framework"]], on="run")
figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
sns.lineplot(
    curves,
    x="seconds",
    y="relative_l2",
    hue="label",
    style="framework",
    units="run",
    estimator=None,
    alpha=0.6,
    ax=axes,
)
axes.set(xscale="log", yscale="log", xlabel="seconds of steps", ylabel="relative L2 error")
sns.move_legend(axes, "upper left", bbox_to_anchor=(1, 1), frameon=False)
figure.savefig("load_results.svg")
