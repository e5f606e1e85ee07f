"""What the observe plan asks for."""

from flownexus.operations.plan import PlanRow, planned_operations

PLAN = [
    PlanRow("read", 3, None, None),
    PlanRow("observe", 3303, None, 5700),
    PlanRow("observe", 5, 0, 3),
]


def test_the_plan_asks_for_what_the_device_has_and_nothing_else() -> None:
    assert list(planned_operations(PLAN, ["/3/0", "/3303/1", "/3303/0", "/5"])) == [
        ("observe", "/3303/0/5700"),
        ("observe", "/3303/1/5700"),
        ("read", "/3"),
    ]
    assert list(planned_operations(PLAN, ["/5/0"])) == [("observe", "/5/0/3")]
    assert list(planned_operations(PLAN, [])) == []
