"""`/alerts` and `/alerts/rules`."""

from typing import Annotated

from litestar import delete, get, put
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter, QueryParameter
from litestar.status_codes import HTTP_204_NO_CONTENT

from datamanager.playback.alerts import AlertItem, AlertPages, AlertRuleDesk
from datamanager.playback.pages import Page
from datamanager.playback.routes.parameters import Cursor, Limit
from datamanager.storage.alert_rules import AlertRule

__all__ = ["ALERT_HANDLERS"]

_RULE = "/alerts/rules/{name:str}"
Name = Annotated[str, PathParameter(description="the rule's name: 1 to 64 of A-Z a-z 0-9 . _ -")]


@get("/alerts", summary="Alerts, the youngest first", tags=["alerts"])
async def list_alerts(
    alert_pages: NamedDependency[AlertPages],
    asked_state: Annotated[str | None, QueryParameter(name="state", description="`firing` or `cleared`")] = None,
    rule: Annotated[str | None, QueryParameter(description="name of the rule")] = None,
    robot_id: Annotated[str | None, QueryParameter(description="whose")] = None,
    session_id: Annotated[str | None, QueryParameter(description="of which session")] = None,
    stream: Annotated[str | None, QueryParameter(description="of which stream")] = None,
    severity: Annotated[str | None, QueryParameter(description="info, warning or critical")] = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> Page[AlertItem]:
    """Each time that a rule fired, and whether it has cleared."""
    wanted = {
        "state": asked_state,  # `state` is a word of the framework's
        "rule": rule,
        "robot_id": robot_id,
        "session_id": session_id,
        "stream": stream,
        "severity": severity,
    }
    return await alert_pages.page(wanted=wanted, limit=limit, cursor=cursor)


@get("/alerts/rules", summary="Alert rules, by name", tags=["alerts"])
async def list_alert_rules(alert_rules: NamedDependency[AlertRuleDesk]) -> Page[AlertRule]:
    """Every rule, whether it is enabled or not; what headers of webhooks hold is not shown."""
    return await alert_rules.all()


@get(_RULE, summary="One alert rule", tags=["alerts"])
async def get_alert_rule(alert_rules: NamedDependency[AlertRuleDesk], name: Name) -> AlertRule:
    """One rule."""
    return await alert_rules.one(name)


@put(_RULE, summary="Put an alert rule", tags=["alerts"])
async def put_alert_rule(
    alert_rules: NamedDependency[AlertRuleDesk], name: Name, data: JSONBody[AlertRule]
) -> AlertRule:
    """Keeps a rule, in place of the one of its name. It holds within a second, for what comes in from then on."""
    return await alert_rules.put(name, data)


@delete(_RULE, summary="Remove an alert rule", tags=["alerts"], status_code=HTTP_204_NO_CONTENT)
async def delete_alert_rule(alert_rules: NamedDependency[AlertRuleDesk], name: Name) -> None:
    """Removes a rule; what it has fired is cleared, and stays in the history."""
    await alert_rules.delete(name)


ALERT_HANDLERS = [list_alerts, list_alert_rules, get_alert_rule, put_alert_rule, delete_alert_rule]
