"""Alerts as a subscriber sees them: a queue on the stack's topic. Needs boto3."""

import json
import time
from typing import List

import boto3

QUEUE = "logisedge-demo-alerts"
# The longest that one request for messages waits.
LONG_POLL_SECONDS = 2


class AlertQueue:
    """An SQS queue that receives everything that the topic sends from now on."""

    def __init__(self, topic_arn: str):
        self.sqs = boto3.client("sqs")
        self.url = self.sqs.create_queue(QueueName=QUEUE)["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": topic_arn}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.sqs.set_queue_attributes(QueueUrl=self.url, Attributes={"Policy": policy})
        # Subscribing again returns the subscription that is there.
        boto3.client("sns").subscribe(TopicArn=topic_arn, Protocol="sqs", Endpoint=arn)
        self.take(0)  # what an earlier demo left

    def take(self, seconds_max: float) -> List[str]:
        """The alerts that arrive, each as text; returns as soon as there is one, or when the time is over."""
        give_up = time.monotonic() + seconds_max
        texts: List[str] = []
        while True:
            wait = LONG_POLL_SECONDS if seconds_max else 0
            answer = self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10, WaitTimeSeconds=wait)
            for message in answer.get("Messages", []):
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
                texts.append(as_text(json.loads(message["Body"])))
            if (texts and not answer.get("Messages")) or time.monotonic() >= give_up:
                return texts


def as_text(envelope: dict) -> str:
    """A notification's subject and message. What machines get is JSON, shown here as its sentences."""
    subject, message = envelope.get("Subject", ""), envelope.get("Message", "")
    try:
        alert = json.loads(message)
    except ValueError:
        alert = None
    if isinstance(alert, dict) and "summary" in alert:
        lines = [alert["summary"], *(f"  {detail}" for detail in alert.get("details", []))]
        if alert.get("action"):
            lines.append(alert["action"])
        if alert.get("command"):
            lines.append(f"  {alert['command']}")
        message = "\n".join(lines)
    return f"{subject}\n{message}".strip()
