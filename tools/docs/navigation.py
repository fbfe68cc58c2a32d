"""The order of the pages on the site. What is not named here comes by its folder, or under "More"."""

SECTIONS = [
    ("Start", ["README.md", "docs/quick-start.md", "docs/concepts.md"]),
    ("Wire format", ["docs/wire-format.md", "docs/late-join.md", "docs/analytics.md", "docs/clients.md", "proto/meltica/v1/README.md"]),
    ("Control", ["docs/control.md", "docs/dispatch-table.md"]),
    ("Operations", ["docs/operations.md", "docs/observability.md", "docs/configuration.md", "docs/console.md", "docs/security.md",
                    "SECURITY.md"]),
    ("Deployment", ["docs/deployment.md", "helm/meltica/README.md", "helm/meltica/UPGRADING.md", "docs/releasing.md"]),
    ("Performance", ["docs/benchmarks.md", "docs/report.md", "docs/soak.md", "docs/chaos.md"]),
    ("Comparison", ["docs/comparison.md"]),
    ("Inside", ["docs/architecture.md", "docs/simulator.md"]),
    ("Project", ["CHANGELOG.md", "CONTRIBUTING.md"]),
]
FOLDERS = [("Services", "services/"), ("Clients", "clients/"), ("Decisions", "docs/decisions/"), ("More", "")]
LABELS = {"README.md": "Meltica", "proto/meltica/v1/README.md": "The contract's rules", "SECURITY.md": "Security policy",
          "helm/meltica/README.md": "Helm chart"}


def sections(pages):
    """[(title, [page, ...])] with each page once; KeyError for a page that is named and not there."""
    missing = [page for _, names in SECTIONS for page in names if page not in pages]
    if missing:
        raise KeyError(f"the navigation names {', '.join(missing)}")
    rest = sorted(set(pages) - {page for _, names in SECTIONS for page in names})
    result = [(title, list(names)) for title, names in SECTIONS]
    for title, folder in FOLDERS:
        here = [page for page in rest if page.startswith(folder)]
        rest = [page for page in rest if page not in here]
        if here:
            result.append((title, here))
    return result
