"""What all dashboards are made of: queries of PostgreSQL and of Prometheus, panels, variables, links."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase
from textwrap import dedent
from typing import Self

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog import builder, variants
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import prometheus as prometheus_models

# A dashboard asks one data source, which its variable `datasource` chooses.
POSTGRESQL = models.DataSourceRef(type_val="grafana-postgresql-datasource", uid="${datasource}")
PROMETHEUS = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG = "flownexus"
MAX_ROWS = 2000
"""At most so many rows come to a panel, whatever the time range."""
MAX_CHOICES = 500
GREEN, ORANGE, RED = "green", "orange", "red"

Steps = Sequence[tuple[float | None, str]]
"""Thresholds: from which value on (None: from the lowest) a colour is shown."""


class Query(builder.Builder["Query"], variants.Dataquery):
    """A statement for Grafana's PostgreSQL data source."""

    def __init__(self, sql: str, *, series: bool = False) -> None:
        self._sql = dedent(sql).strip()
        self._format = "time_series" if series else "table"

    def build(self) -> Self:
        """Return itself: a target needs nothing more."""
        return self

    def to_json(self) -> dict[str, object]:
        """Return the target as the data source's editor writes it."""
        return {
            "refId": "A",
            "datasource": POSTGRESQL,
            "editorMode": "code",
            "format": self._format,
            "rawQuery": True,
            "rawSql": self._sql,
        }


def metric(expr: str, legend: str = "") -> prometheus.Dataquery:
    """Return a query of Prometheus; `legend` may name labels as {{label}}."""
    query = prometheus.Dataquery().datasource(PROMETHEUS).editor_mode(prometheus_models.QueryEditorMode.CODE)
    return query.expr(expr).legend_format(legend)


def number(
    title: str,
    asked: str | prometheus.Dataquery,
    *,
    unit: str = "short",
    steps: Steps = ((None, GREEN),),
    description: str = "",
) -> stat.Panel:
    """Return a panel of one number, coloured by thresholds; `asked` is SQL or a metric()."""
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(POSTGRESQL if isinstance(asked, str) else PROMETHEUS)
        .with_target(Query(asked) if isinstance(asked, str) else asked.ref_id("A").instant())
        .unit(unit)
        .thresholds(_thresholds(steps))
        .graph_mode(common_models.BigValueGraphMode.NONE)
        .span(4)
        .height(4)
    )


def chart(
    title: str,
    asked: str | Sequence[prometheus.Dataquery],
    *,
    unit: str = "short",
    width: int = 12,
    bars: bool = False,
    description: str = "",
) -> timeseries.Panel:
    """Return a panel of lines, or of stacked bars, over time.

    `asked` is SQL, of which each column of numbers is a series, or metric()s.
    """
    targets: Sequence[builder.Builder[variants.Dataquery]] = (
        [Query(asked, series=True)]
        if isinstance(asked, str)
        else [each.ref_id(ref_id).range() for ref_id, each in zip(ascii_uppercase, asked, strict=False)]
    )
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(POSTGRESQL if isinstance(asked, str) else PROMETHEUS)
        .targets(list(targets))
        .unit(unit)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(common_models.LegendDisplayMode.LIST)
            .placement(common_models.LegendPlacement.BOTTOM)
        )
        .tooltip(common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI))
        .span(width)
        .height(8)
    )
    if bars:
        stacking = common.StackingConfig().mode(common_models.StackingMode.NORMAL)
        return panel.draw_style(common_models.GraphDrawStyle.BARS).fill_opacity(70).stacking(stacking)
    return panel.line_width(1).fill_opacity(8).span_nulls(False)


def bars(title: str, sql: str, *, description: str = "") -> bargauge.Panel:
    """Return a panel of horizontal bars: one for each column of a statement's only row."""
    return (
        bargauge.Panel()
        .title(title)
        .description(description)
        .datasource(POSTGRESQL)
        .with_target(Query(sql))
        .unit("short")
        .min(0)
        .orientation(common_models.VizOrientation.HORIZONTAL)
        .display_mode(common_models.BarGaugeDisplayMode.BASIC)
        .span(12)
        .height(8)
    )


def rows(
    title: str,
    sql: str,
    *,
    width: int = 12,
    units: Sequence[tuple[str, str]] = (),
    link: tuple[str, str] | None = None,
    description: str = "",
) -> table.Panel:
    """Return a panel of rows; `units` are by column, `link` is a column and where its cells lead to."""
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(POSTGRESQL)
        .with_target(Query(sql))
        .span(width)
        .height(9)
    )
    for column, unit in units:
        panel = panel.override_by_name(column, [models.DynamicConfigValue(id_val="unit", value=unit)])
    if link is not None:
        column, url = link
        links = [{"title": "open", "url": url}]
        panel = panel.override_by_name(column, [models.DynamicConfigValue(id_val="links", value=links)])
    return panel


# The search goes with the endpoint: a choice offers 500, and keeps none that it does not offer.
DEVICE_LINK = (
    "endpoint",
    (
        "/d/flownexus-device?${datasource:queryparam}&var-search=${__value.raw:percentencode}"
        "&var-endpoint=${__value.raw:percentencode}&${__url_time_range}"
    ),
)
TELEMETRY_LINK = (
    "path",
    (
        "/d/flownexus-telemetry?${datasource:queryparam}&${search:queryparam}&${endpoint:queryparam}"
        "&var-path=${__value.raw:percentencode}&${__url_time_range}"
    ),
)


def choice(
    name: str, label: str, sql: str, *, several: bool = False, everything: bool = False
) -> dashboard.QueryVariable:
    """Return a variable whose values are what a statement finds."""
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(POSTGRESQL)
        .query(dedent(sql).strip())
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(several)
        .include_all(everything)
    )


def text(name: str, label: str) -> dashboard.TextBoxVariable:
    """Return a variable that is typed in."""
    return dashboard.TextBoxVariable(name).label(label).default_value("")


PATHS = "coalesce(path, array_to_string(paths, ' '))"
"""What an operation is for: one path, or several."""
SEARCH = text("search", "search")
ENDPOINT = f"""
    SELECT name FROM endpoint
    WHERE name ILIKE '%' || ${{search:sqlstring}} || '%'
    ORDER BY name LIMIT {MAX_CHOICES}
    """


def note(name: str, sql: str, colour: str) -> dashboard.AnnotationQuery:
    """Return annotations: moments that a statement finds, marked in every chart."""
    target = Query(sql).to_json()
    return (
        dashboard.AnnotationQuery()
        .name(name)
        .datasource(POSTGRESQL)
        .enable(True)
        .icon_color(colour)
        .target(_AnnotationTarget(target))
    )


class _AnnotationTarget(models.AnnotationTarget, builder.Builder[models.AnnotationTarget]):
    """A statement as the target of annotations, which the published schema leaves to the data source."""

    def __init__(self, target: dict[str, object]) -> None:
        super().__init__()
        self._target = target

    def build(self) -> models.AnnotationTarget:
        return self

    def to_json(self) -> dict[str, object]:
        return self._target


def board(
    uid: str, title: str, description: str, source: models.DataSourceRef = POSTGRESQL
) -> dashboard.Dashboard:
    """Return an empty dashboard with the data source as a variable and links to the others."""
    return (
        dashboard.Dashboard(f"Flow Nexus: {title}")
        .uid(f"flownexus-{uid}")
        .description(description)
        .tags([TAG])
        .timezone("browser")
        .time("now-6h", "now")
        .refresh("30s")
        .editable()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("Flow Nexus")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(False)
            .keep_time(True)
        )
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("data source").type(source.type_val or "")
        )
    )


def _thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    found = [models.Threshold(value=value, color=color) for value, color in steps]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(found)
