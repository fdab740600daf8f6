"""The manifests fit each other and the image: labels, ports, secrets, users, connections."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest
import yaml

from tests.deploy.files import (
    KUBERNETES,
    MANIFESTS,
    Manifest,
    containers,
    documents,
    instructions,
    manifest,
)

CONNECTIONS_PER_WORKER = 4


def workload(kind: str) -> Manifest:
    found: Manifest = manifest(kind)["spec"]["template"]["spec"]
    return found


def test_selectors_find_the_pods() -> None:
    spec = manifest("Deployment")["spec"]
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    assert manifest("PodDisruptionBudget")["spec"]["selector"]["matchLabels"].items() <= labels.items()
    job = manifest("Job")["spec"]["template"]["metadata"]["labels"]
    assert not spec["selector"]["matchLabels"].items() <= job.items()


def test_probes_ask_the_port_on_which_the_worker_answers() -> None:
    (worker,) = workload("Deployment")["containers"]
    (port,) = worker["ports"]
    given = {each["name"]: each.get("value") for each in worker["env"]}
    assert given["AGENT_WORKER_METRICS_PORT"] == str(port["containerPort"])
    assert given["AGENT_WORKER_METRICS_HOST"] == "0.0.0.0"  # noqa: S104 - the probe comes from outside the pod
    probes = {name: worker[name]["httpGet"] for name in ("readinessProbe", "livenessProbe")}
    assert {probe["port"] for probe in probes.values()} == {port["name"]}
    assert probes["readinessProbe"]["path"] == "/readyz"
    assert probes["livenessProbe"]["path"] == "/healthz"
    annotations = manifest("Deployment")["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(port["containerPort"])


def secret_references() -> Iterator[tuple[str, str]]:
    for container in containers():
        for variable in container["env"]:
            if "valueFrom" in variable:
                reference = variable["valueFrom"]["secretKeyRef"]
                yield reference["name"], reference["key"]
    for target in manifest("TriggerAuthentication")["spec"]["secretTargetRef"]:
        yield target["name"], target["key"]


def test_every_secret_that_is_read_is_in_the_example_and_no_other() -> None:
    example = documents(KUBERNETES / "secret.example.yaml")
    listed = {(secret["metadata"]["name"], key) for secret in example for key in secret["stringData"]}
    assert set(secret_references()) == listed


@pytest.mark.parametrize("kind", ["Deployment", "Job"])
def test_pods_run_as_an_ordinary_user_without_rights(kind: str) -> None:
    pod = workload(kind)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert instructions("USER") == [str(pod["securityContext"]["runAsUser"])]
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        rights = container["securityContext"]
        assert rights["capabilities"] == {"drop": ["ALL"]}
        assert (rights["readOnlyRootFilesystem"], rights["allowPrivilegeEscalation"]) == (True, False)
        assert set(container["resources"]) == {"requests", "limits"}


def test_the_folder_the_image_works_in_can_be_written() -> None:
    pod = workload("Deployment")
    mounts = {each["mountPath"]: each["name"] for each in pod["containers"][0]["volumeMounts"]}
    assert {"name": mounts[instructions("WORKDIR")[0]], "emptyDir": {}} in pod["volumes"]


def test_the_scaler_moves_this_deployment_and_owns_its_number() -> None:
    scaled = manifest("ScaledObject")["spec"]
    deployment = manifest("Deployment")
    assert scaled["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert "replicas" not in deployment["spec"]
    (trigger,) = scaled["triggers"]
    assert trigger["authenticationRef"]["name"] == manifest("TriggerAuthentication")["metadata"]["name"]


def test_the_largest_fleet_leaves_a_small_project_a_third_of_its_connections() -> None:
    scaled, deployment = manifest("ScaledObject")["spec"], manifest("Deployment")["spec"]
    surge = deployment["strategy"]["rollingUpdate"]["maxSurge"]
    draining = 1  # the old pod that ends while the new one counts its minReadySeconds
    pod = deployment["template"]["spec"]
    assert deployment["minReadySeconds"] >= pod["terminationGracePeriodSeconds"]
    pods = scaled["maxReplicaCount"] + surge + draining
    assert pods * CONNECTIONS_PER_WORKER <= 60 * 2 / 3


def test_the_scaler_counts_as_far_as_its_answer_matters() -> None:
    scaled = manifest("ScaledObject")["spec"]
    (trigger,) = scaled["triggers"]
    target = int(trigger["metadata"]["targetQueryValue"])
    (limit,) = re.findall(r"backlog\('\{[a-z,]+\}', (\d+)\)", trigger["metadata"]["query"])
    assert int(limit) == scaled["maxReplicaCount"] * target
    (worker,) = workload("Deployment")["containers"]
    given = {each["name"]: each.get("value") for each in worker["env"]}
    assert target <= int(given["AGENT_WORKER_CONCURRENCY"])


def test_kustomize_builds_every_manifest_but_the_secrets_and_the_migration() -> None:
    (listed,) = documents(KUBERNETES / "kustomization.yaml")
    apart = {"kustomization.yaml", "secret.example.yaml", "migrate-job.yaml"}
    assert {*listed["resources"], *apart} == {path.name for path in MANIFESTS}
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not here")
    built = subprocess.run(
        ["kubectl", "kustomize", str(KUBERNETES)], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    kinds = sorted(each["kind"] for each in yaml.safe_load_all(built.stdout))
    assert kinds == ["Deployment", "PodDisruptionBudget", "ScaledObject", "TriggerAuthentication"]
