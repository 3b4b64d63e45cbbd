"""Uploads code and brings a CloudFormation stack to a template, with boto3. Runs inside infra/requirements.txt."""

import base64
import hashlib
import os
import time
import uuid
from pathlib import Path
from typing import Dict, Mapping

import boto3
from botocore.exceptions import BotoCoreError, ClientError

# docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
TEMPLATE_BYTES_MAX = 1_000_000
POLL_SECONDS = 2
# States in which a stack takes an update; from the others it must first be repaired or deleted.
UPDATABLE = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE"}


class DeployError(Exception):
    """Says what could not be done and what to do now."""


def environment_with_path(*folders: Path) -> Dict[str, str]:
    """This process's environment with `folders` searched first."""
    path = os.pathsep.join([*map(str, folders), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path}


def deploy(name: str, template: Path, zips: Mapping[str, Path], parameters: Mapping[str, str]) -> Dict[str, str]:
    """Creates or updates the stack and returns its outputs."""
    try:
        session = connect()
        s3 = session.client("s3")
        bucket = code_bucket(session, s3, name)
        prefix = upload_code(s3, bucket, zips)
        url = upload_template(s3, bucket, template)
        wanted = {"CodeBucket": bucket, "CodePrefix": prefix, **parameters}
        return bring_to(session.client("cloudformation"), name, url, wanted)
    except (BotoCoreError, ClientError) as error:
        raise DeployError(str(error)) from error


def connect():
    """A session in the environment's region. boto3 alone reads AWS_DEFAULT_REGION, other SDKs AWS_REGION."""
    session = boto3.Session(region_name=os.environ.get("AWS_REGION"))
    if not session.region_name:
        raise DeployError("no region is set: export AWS_REGION, for example eu-central-1")
    return session


def publish_layer(name: str, archive: Path, architecture: str) -> str:
    """Publishes a layer's zip file and returns its version's ARN; the newest version's where it holds the same bytes."""
    try:
        code = archive.read_bytes()
        client = connect().client("lambda")
        digest = base64.b64encode(hashlib.sha256(code).digest()).decode()
        for version in client.list_layer_versions(LayerName=name, MaxItems=1)["LayerVersions"]:
            newest = client.get_layer_version(LayerName=name, VersionNumber=version["Version"])
            if newest["Content"]["CodeSha256"] == digest:
                return newest["LayerVersionArn"]
        print(f"Publishing the layer {name}", flush=True)
        return client.publish_layer_version(
            LayerName=name,
            Content={"ZipFile": code},
            CompatibleRuntimes=["provided.al2023"],
            CompatibleArchitectures=[architecture],
        )["LayerVersionArn"]
    except OSError as error:
        raise DeployError(f"the layer {archive} cannot be read: {error.strerror}. See infra/layers/pg_dump") from error
    except (BotoCoreError, ClientError) as error:
        raise DeployError(f"the layer {name} was not published: {error}") from error


def code_bucket(session, s3, name: str) -> str:
    """The name of the bucket for the stack's code and template, which exists from here on."""
    account = session.client("sts").get_caller_identity()["Account"]
    bucket = f"{name}-code-{account}-{session.region_name}"
    make_code_bucket(s3, bucket, session.region_name)
    return bucket


def upload_code(s3, bucket: str, zips: Mapping[str, Path]) -> str:
    """Puts the zip files under a prefix named after their content, and returns it.

    A prefix of its own for each content is what makes CloudFormation see new code, and lets a rollback find the old.
    """
    digest = hashlib.sha256()
    for function, path in sorted(zips.items()):
        digest.update(function.encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    prefix = f"code/{digest.hexdigest()[:16]}"
    for function, path in sorted(zips.items()):
        print(f"Uploading {function} ({path.stat().st_size / 1e6:.1f} MB)", flush=True)
        s3.upload_file(str(path), bucket, f"{prefix}/{function}.zip")
    return prefix


def upload_template(s3, bucket: str, template: Path) -> str:
    """Puts the template under a name made of its content, and returns the URL by which CloudFormation finds it.

    Not beneath the code's prefix, so that a change of the template alone leaves the functions' code as it is.
    """
    body = template.read_bytes()
    if len(body) > TEMPLATE_BYTES_MAX:
        raise DeployError(
            f"{template} has {len(body)} bytes; {TEMPLATE_BYTES_MAX} is the most that CloudFormation reads from S3"
        )
    key = f"template/{hashlib.sha256(body).hexdigest()[:16]}.yaml"
    s3.put_object(Bucket=bucket, Key=key, Body=body)
    # With the bucket in the path, as `aws cloudformation deploy` does it too: the emulator reads no other style.
    return f"{s3.meta.endpoint_url}/{bucket}/{key}"


def make_code_bucket(s3, bucket: str, region: str) -> None:
    """Makes the private bucket that holds code and template, unless it exists."""
    try:
        s3.head_bucket(Bucket=bucket)
        return
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("404", "NoSuchBucket"):
            raise DeployError(f"the code bucket {bucket} cannot be used: {error}") from error
    # us-east-1 is the one region that refuses to be named here.
    where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    s3.create_bucket(Bucket=bucket, **where)
    s3.put_public_access_block(
        Bucket=bucket,
        PublicAccessBlockConfiguration=dict.fromkeys(
            ["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"], True
        ),
    )


def bring_to(cloudformation, name: str, template_url: str, parameters: Mapping[str, str]) -> Dict[str, str]:
    """Creates or updates through a change set, waits, and returns the outputs."""
    known = {p["ParameterKey"] for p in cloudformation.validate_template(TemplateURL=template_url)["Parameters"]}
    if unknown := sorted(set(parameters) - known):
        raise DeployError(f"the template has no parameter {', '.join(unknown)}; it has {', '.join(sorted(known))}")
    existing = describe(cloudformation, name)
    if existing and existing["StackStatus"] not in UPDATABLE | {"REVIEW_IN_PROGRESS"}:
        raise DeployError(
            f"the stack {name} is {existing['StackStatus']}. Wait for it, or delete it if its creation failed "
            "(buckets, tables, keys and secrets outlive it), then deploy again"
        )
    update = existing is not None and existing["StackStatus"] != "REVIEW_IN_PROGRESS"
    values = [{"ParameterKey": key, "ParameterValue": value} for key, value in sorted(parameters.items())]
    if update:
        kept = {p["ParameterKey"] for p in existing.get("Parameters", [])} & known - set(parameters)
        values += [{"ParameterKey": key, "UsePreviousValue": True} for key in sorted(kept)]
    change_set = cloudformation.create_change_set(
        StackName=name,
        ChangeSetName=f"deploy-{uuid.uuid4()}",
        ChangeSetType="UPDATE" if update else "CREATE",
        TemplateURL=template_url,
        Parameters=values,
        Capabilities=["CAPABILITY_IAM"],
    )["Id"]
    if not wait_for_change_set(cloudformation, change_set):
        print("Nothing to change.")
        cloudformation.delete_change_set(ChangeSetName=change_set)
    else:
        print(f"{'Updating' if update else 'Creating'} the stack {name}", flush=True)
        cloudformation.execute_change_set(ChangeSetName=change_set)
        wait_for_stack(cloudformation, name)
    outputs = describe(cloudformation, name).get("Outputs", [])
    return {output["OutputKey"]: output["OutputValue"] for output in outputs}


def describe(cloudformation, name: str):
    """The stack's description, or None where there is no such stack."""
    try:
        return cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise


def wait_for_change_set(cloudformation, change_set: str) -> bool:
    """Whether the change set, once computed, changes anything."""
    while True:
        found = cloudformation.describe_change_set(ChangeSetName=change_set)
        status, reason = found["Status"], found.get("StatusReason", "")
        if status == "CREATE_COMPLETE":
            return True
        if status == "FAILED":
            if "didn't contain changes" in reason or "No updates are to be performed" in reason:
                return False
            raise DeployError(f"CloudFormation refused the change: {reason}")
        time.sleep(POLL_SECONDS)


def wait_for_stack(cloudformation, name: str) -> None:
    """Waits until the stack stands still; prints each failure as it happens."""
    shown = set()
    while True:
        found = describe(cloudformation, name)
        if not found["StackStatus"].endswith("_IN_PROGRESS"):
            break
        time.sleep(POLL_SECONDS)
    status = found["StackStatus"]
    if status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        return
    for event in reversed(cloudformation.describe_stack_events(StackName=name)["StackEvents"]):
        reason = event.get("ResourceStatusReason", "")
        if event["ResourceStatus"].endswith("_FAILED") and event["LogicalResourceId"] not in shown:
            shown.add(event["LogicalResourceId"])
            print(f"  {event['LogicalResourceId']}: {reason}", flush=True)
    raise DeployError(f"the stack {name} ended as {status}: see the reasons above")
