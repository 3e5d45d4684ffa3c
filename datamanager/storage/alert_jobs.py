"""Jobs of kind `alerts`: hold the rules against what is new of one stream."""

from datamanager.storage.alert_states import Place
from datamanager.storage.jobs import Job, Priority

__all__ = ["ALERTS_JOB", "alerts_job", "place_of"]

ALERTS_JOB = "alerts"


def alerts_job(place: Place, priority: Priority = "normal") -> Job:
    """The job for a stream: robot_id, session_id, stream."""
    return Job(kind=ALERTS_JOB, key="/".join(place), priority=priority)


def place_of(job: Job) -> Place:
    """The stream that a job is for."""
    robot_id, session_id, stream = job.key.split("/", 2)
    return robot_id, session_id, stream
