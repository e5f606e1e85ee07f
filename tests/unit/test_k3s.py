"""deploy/k3s: what its files say, beside stack.yml, credentials.py and sql/roles.sql.

tests/manifests validates the same files against the schemas of Kubernetes.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.images.contexts import images
from deploy.k3s import credentials
from local.openfaas.stack import Function, read_stack, substitute

REPOSITORY = Path(__file__).resolve().parents[2]
K3S = REPOSITORY / "deploy" / "k3s"
FILES = [*sorted((K3S / "base").glob("*.yaml")), K3S / "migrate" / "job.yaml"]
STACK = read_stack(REPOSITORY / "stack.yml", {})
OURS = {"flownexus-leshan", "flownexus-connector", "flownexus-downloads", "flownexus-migrate"}
CALLED_BY_THE_CONNECTOR = {name for name, function in STACK.items() if "topic" in function.annotations}

Json = dict[str, Any]


def objects(*kinds: str) -> Iterator[Json]:
    for path in FILES:
        for found in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if found["kind"] in kinds or not kinds:
                yield found


def workloads() -> dict[str, Json]:
    return {found["metadata"]["name"]: found for found in objects("StatefulSet", "Deployment", "Job")}


def pod(name: str) -> Json:
    return dict(workloads()[name]["spec"]["template"]["spec"])


def container(name: str) -> Json:
    [found] = pod(name)["containers"]
    return dict(found)


def secrets_of(name: str) -> set[str]:
    found: set[str] = set()
    for volume in pod(name)["volumes"]:
        sources = volume.get("projected", {}).get("sources", []) or [volume]
        for source in sources:
            if secret := source.get("secret"):
                found.add(secret.get("secretName") or secret["name"])
    return found


def policies(namespace: str) -> dict[str, Json]:
    return {
        found["metadata"]["name"]: found["spec"]
        for found in objects("NetworkPolicy")
        if found["metadata"]["namespace"] == namespace
    }


def functions_with(what: str) -> set[str]:
    return {
        name for name, function in STACK.items() if any(re.search(what, each) for each in function.secrets)
    }


NAMES = sorted(workloads())
RUNNING = [name for name in NAMES if name != "migrate"]


# Images.


def test_no_image_has_a_tag_that_moves() -> None:
    used = {container(name)["image"] for name in NAMES}
    for image in used - OURS:
        assert re.fullmatch(r"[\w./-]+:\d+\.\d+(\.\d+)?[\w.-]*(@sha256:[0-9a-f]{64})?", image), image
        assert image.startswith("docker.io/"), "which registry is said, and not guessed by the node"
    assert used >= OURS


def test_the_version_of_the_own_images_is_that_of_the_project_here_and_in_stack_yml() -> None:
    component = yaml.safe_load((K3S / "images" / "kustomization.yaml").read_text())
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    assert {image["name"] for image in component["images"]} == OURS
    built = {image.reference for image in images({})}
    assert {f"{image['newName']}:{image['newTag']}" for image in component["images"]} <= built
    assert {function.image for function in STACK.values()} <= built
    assert {reference.partition("/")[2].partition(":")[2] for reference in built} == {version}


# Pods.


@pytest.mark.parametrize("name", NAMES)
def test_a_pod_is_locked_up(name: str) -> None:
    spec = pod(name)
    everyone = spec["securityContext"]
    assert everyone["runAsNonRoot"] is True
    assert everyone["runAsUser"] > 0
    assert everyone["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    assert container(name)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_container_says_what_it_needs_and_what_it_may_take(name: str) -> None:
    resources = container(name)["resources"]
    for each in ("requests", "limits"):
        assert set(resources[each]) == {"cpu", "memory"}


@pytest.mark.parametrize("name", RUNNING)
def test_a_container_is_asked_whether_it_started_is_ready_and_lives(name: str) -> None:
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container(name)[probe]["timeoutSeconds"] >= 3  # one second is short on a busy node


@pytest.mark.parametrize("name", ["postgres", "nats", "leshan", "grafana"])
def test_what_must_last_is_on_a_volume(name: str) -> None:
    [claim] = workloads()[name]["spec"]["volumeClaimTemplates"]
    assert claim["metadata"]["name"] in {mount["name"] for mount in container(name)["volumeMounts"]}


def test_a_service_leads_to_ports_that_its_pods_have() -> None:
    for service in objects("Service"):
        spec = service["spec"]
        target = spec["selector"]["app.kubernetes.io/name"]
        ports = {port["name"]: port for port in container(target)["ports"]}
        for port in spec["ports"]:
            there = ports[port["targetPort"]]
            assert (port["port"], port.get("protocol")) == (there["containerPort"], there.get("protocol"))


# Settings.


def test_leshan_is_given_flags_that_it_has_and_all_that_it_requires() -> None:
    settings = (REPOSITORY / "docs" / "settings.md").read_text(encoding="utf-8")
    table = settings[settings.index("## Leshan server") :]
    flags = {
        flag: row
        for row in table.splitlines()
        if row.startswith("| `--")
        for flag in re.findall(r"`(--[a-z-]+)`", row)
    }
    given = {argument.partition("=")[0] for argument in container("leshan")["args"]}
    assert given <= set(flags)
    assert {flag for flag, row in flags.items() if "| required |" in row} <= given


def test_a_variable_of_the_connector_is_a_setting_of_it() -> None:
    source = (REPOSITORY / "connector" / "settings.py").read_text(encoding="utf-8")
    for variable in container("connector")["env"]:
        assert f'"{variable["name"]}"' in source


def test_grafana_has_what_its_files_ask_for() -> None:
    provisioning = REPOSITORY / "deploy" / "grafana" / "provisioning"
    asked = set()
    for path in provisioning.rglob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        asked |= set(re.findall(r"\$\{(FLOWNEXUS_\w+)\}", text))
        for file in re.findall(r"\$__file\{([^}]+)\}", text):
            secret = Path(file)
            mounts = {mount["mountPath"]: mount["name"] for mount in container("grafana")["volumeMounts"]}
            assert mounts[str(secret.parent)] == "secrets"
            assert secret.name in script_objects()["flownexus"]["grafana"]
    assert asked <= {variable["name"] for variable in container("grafana")["env"]}
    folders = {path.parent.name for path in provisioning.rglob("*.yaml")}
    mounted = {Path(mount["mountPath"]).name for mount in container("grafana")["volumeMounts"]}
    assert folders <= mounted


# Secrets.


def test_no_secret_is_in_the_tree() -> None:
    assert not list(objects("Secret"))
    for path in (REPOSITORY / "deploy").rglob("*"):
        if not path.is_file() or path.suffix in {".pyc", ".py"} or "dashboards" in path.parts:
            continue
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"secretGenerator|stringData|PRIVATE KEY|://[^/\s:@]+:[^/\s@]+@", text), path
        # Digests of images and hashes of packages apart, nothing here looks random.
        plain = re.sub(r"sha256:[0-9a-f]{64}", "", text)
        assert not re.search(r"(?=\w*\d)(?=\w*[A-Z])(?=\w*[a-z])[\w+/-]{32,}", plain), path


@pytest.mark.parametrize("name", NAMES)
def test_every_secret_of_a_pod_is_made_by_the_script(name: str) -> None:
    made = script_objects()[credentials.SYSTEM]
    assert secrets_of(name) <= set(made)


def test_every_secret_of_a_function_is_made_by_the_script_and_no_other_one() -> None:
    made = script_objects()[credentials.FUNCTIONS]
    assert set(made) == {secret for function in STACK.values() for secret in function.secrets}
    assert all(list(values) == [name] for name, values in made.items()), "OpenFaaS mounts a key as a file"


def script_objects() -> dict[str, dict[str, dict[str, str]]]:
    login = {"basic-auth-user": "admin", "basic-auth-password": "p"}
    cluster = credentials.Cluster(
        found={"flownexus": {}, "openfaas-fn": {}, "openfaas": {"basic-auth": login}}
    )
    return credentials.objects(cluster, credentials.made(cluster))


def test_the_script_restarts_who_has_a_secret() -> None:
    def named(part: credentials.Workloads | None) -> set[str]:
        return {name.partition("/")[2] for name in part.names} if part else set()

    for secret, (_, readers) in credentials.ROLES.items():
        if readers and readers.namespace == credentials.FUNCTIONS:
            assert named(readers) == functions_with(f"^{secret}$"), secret
    for secret, token in credentials.TOKENS.items():
        of_functions = [
            part
            for part in (token.checkers, token.senders)
            if part and part.namespace == credentials.FUNCTIONS
        ]
        assert named(of_functions[0]) == functions_with(f"^{secret}$"), secret
        for part in (token.checkers, token.senders):
            if part and part.namespace == credentials.SYSTEM:
                [workload] = named(part)
                assert secret in secrets_of(workload)
    assert named(credentials.ALL_FUNCTIONS) == functions_with(f"^{credentials.NATS_URL}$")


def test_the_migration_sets_the_password_of_every_role_of_the_script() -> None:
    assert container("migrate")["args"] == [
        credentials.OWNER,
        *(name for name in credentials.ROLES if name != credentials.OWNER),
    ]
    assert secrets_of("migrate") == set(credentials.ROLES)
    roles = (REPOSITORY / "sql" / "roles.sql").read_text(encoding="utf-8")
    for role, _ in credentials.ROLES.values():
        assert role == "postgres" or f"'{role}'" in roles


# Who reaches whom.


def test_only_functions_with_a_url_downloads_grafana_and_the_migration_reach_postgresql() -> None:
    [rule] = policies("flownexus")["postgres"]["ingress"]
    here, functions = rule["from"]
    assert here["podSelector"]["matchExpressions"][0]["values"] == ["downloads", "grafana", "migrate"]
    assert functions["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "openfaas-fn"}
    assert set(functions["podSelector"]["matchExpressions"][0]["values"]) == functions_with("-database-url$")
    assert rule["ports"] == [{"port": 5432, "protocol": "TCP"}]


def test_only_functions_with_a_url_and_the_connector_reach_nats() -> None:
    [rule] = policies("flownexus")["nats"]["ingress"]
    here, functions = rule["from"]
    assert here["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "connector"}
    assert set(functions["podSelector"]["matchExpressions"][0]["values"]) == functions_with("nats-url$")
    assert rule["ports"] == [{"port": 4222, "protocol": "TCP"}]


def test_only_devices_its_functions_the_ingress_and_prometheus_reach_leshan() -> None:
    devices, rest, metrics = policies("flownexus")["leshan"]["ingress"]
    assert {port["protocol"] for port in devices["ports"]} == {"UDP"}
    function, ingress = rest["from"]
    [chosen] = function["podSelector"]["matchExpressions"]
    asks_leshan = {name for name, each in STACK.items() if "leshan_url" in each.environment}
    assert asks_leshan == {"dispatch-op", "api", "housekeeping", "console"}
    assert (chosen["key"], set(chosen["values"])) == ("faas_function", asks_leshan)
    assert ingress["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "traefik"}
    assert rest["ports"] == [{"port": 8090, "protocol": "TCP"}]
    assert metrics["from"] == PROMETHEUS


def test_with_an_object_store_downloads_and_the_functions_that_know_it_reach_tcp_443() -> None:
    text = (K3S / "object-store" / "network-policies.yaml").read_text(encoding="utf-8")
    here, there = yaml.safe_load_all(text)
    assert here["spec"]["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "downloads"}
    [chosen] = there["spec"]["podSelector"]["matchExpressions"]
    know = {name for name, each in STACK.items() if "firmware_store_url" in each.environment}
    assert (
        know == functions_with("-firmware-store-access-key$") == functions_with("-firmware-store-secret-key$")
    )
    assert (chosen["key"], set(chosen["values"])) == ("faas_function", know)
    for policy in (here, there):
        [rule] = policy["spec"]["egress"]
        assert rule["ports"] == [{"port": 443, "protocol": "TCP"}]


def test_the_function_that_asks_an_openid_provider_reaches_tcp_443() -> None:
    text = (K3S / "openid" / "network-policies.yaml").read_text(encoding="utf-8")
    [policy] = yaml.safe_load_all(text)
    [asks] = {name for name, each in STACK.items() if "oidc_issuer" in each.environment}
    assert policy["spec"]["podSelector"]["matchLabels"] == {"faas_function": asks}
    [rule] = policy["spec"]["egress"]
    assert rule["ports"] == [{"port": 443, "protocol": "TCP"}]


PROMETHEUS = [
    {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "podSelector": {"matchLabels": {label: "prometheus"}},
    }
    for namespace, label in (("openfaas", "app"), ("monitoring", "app.kubernetes.io/name"))
]


@pytest.mark.parametrize("name", ["leshan", "connector"])
def test_prometheus_finds_the_metrics_of_a_pod_and_may_ask_for_them(name: str) -> None:
    annotations = workloads()[name]["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/scrape"] == "true"
    port = int(annotations["prometheus.io/port"])
    assert port in {each["containerPort"] for each in container(name)["ports"]}
    rules = policies("flownexus")[name]["ingress"]
    assert {"from": PROMETHEUS, "ports": [{"port": port, "protocol": "TCP"}]} in rules


def test_nobody_reaches_what_no_policy_names() -> None:
    nothing = policies("flownexus")["nothing-else"]
    assert nothing == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for namespace in ("flownexus", "openfaas-fn"):
        for name, spec in policies(namespace).items():
            for rule in (*spec.get("ingress", []), *spec.get("egress", [])):
                assert rule["ports"], f"{name}: a rule without ports lets everything through"
                assert rule.get("from") or rule.get("to") or (namespace, name) == ("flownexus", "leshan")


def test_a_policy_of_functions_holds_for_all_of_ours_and_lets_the_gateway_and_prometheus_in() -> None:
    spec = policies("openfaas-fn")["flownexus-functions"]
    assert set(spec["podSelector"]["matchExpressions"][0]["values"]) == set(STACK)
    let_in: dict[str, Any] = {}
    for rule in spec["ingress"]:
        let_in[str([port["port"] for port in rule["ports"]])] = rule["from"]
    [metrics] = {function.annotations["prometheus.io.port"] for function in STACK.values()}
    [gateway] = let_in.pop("[8080]")
    assert gateway["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "openfaas"}
    assert gateway["podSelector"]["matchLabels"] == {"app": "gateway"}
    assert let_in == {f"[{metrics}]": PROMETHEUS}


# From outside.


def routes() -> dict[str, tuple[str, str, str]]:
    """Return each path that is reachable, with its kind, Service and middleware after that of HSTS."""
    found = {}
    for ingress in objects("Ingress"):
        assert (
            ingress["metadata"]["annotations"]["traefik.ingress.kubernetes.io/router.entrypoints"]
            == "websecure"
        )
        assert ingress["spec"]["tls"]
        hsts, _, middleware = ingress["metadata"]["annotations"][
            "traefik.ingress.kubernetes.io/router.middlewares"
        ].partition(",")
        assert hsts == f"{ingress['metadata']['namespace']}-hsts@kubernetescrd"
        [rule] = ingress["spec"]["rules"]
        for path in rule["http"]["paths"]:
            service = path["backend"]["service"]["name"]
            found[rule["host"].partition(".")[0] + path["path"]] = (path["pathType"], service, middleware)
    return found


def test_these_paths_and_no_others_are_reachable_from_outside() -> None:
    documented = "openfaas-flownexus-documented@kubernetescrd"
    assert routes() == {
        **{
            f"flownexus/function/{name}": ("Prefix", "gateway", "")
            for name in set(STACK) - CALLED_BY_THE_CONNECTOR
        },
        "flownexus/leshan_api/resource/single": ("Exact", "gateway", documented),
        "flownexus/leshan_api/resource/composite": ("Exact", "gateway", documented),
        "flownexus/leshan_api/api": ("Prefix", "leshan", "flownexus-leshan@kubernetescrd"),
        "flownexus/firmware": ("Prefix", "downloads", "flownexus-downloads@kubernetescrd"),
        "grafana/": ("Prefix", "grafana", ""),
    }


def middlewares() -> dict[str, Any]:
    """Return what each middleware does, by its namespace and name."""
    return {
        f"{found['metadata']['namespace']}-{found['metadata']['name']}": found["spec"]
        for found in objects("Middleware")
    }


def test_in_both_homes_browsers_are_told_to_stay_with_tls_for_a_year() -> None:
    for namespace in ("openfaas", "flownexus"):
        assert middlewares()[f"{namespace}-hsts"] == {"headers": {"stsSeconds": 31536000}}
    caddy = (REPOSITORY / "deploy" / "server" / "Caddyfile").read_text()
    assert 'header ?Strict-Transport-Security "max-age=31536000"' in caddy
    nginx = (REPOSITORY / "deploy" / "server" / "nginx.conf").read_text()
    assert 'add_header Strict-Transport-Security "max-age=31536000" always;' in nginx
    assert "proxy_hide_header Strict-Transport-Security;" in nginx, "it would come twice"


def test_a_documented_path_leads_to_its_function() -> None:
    found = middlewares()
    rewrite = found["openfaas-flownexus-documented"]["replacePathRegex"]
    replacement = re.sub(r"\$(\d)", r"\\\1", rewrite["replacement"])
    for kind in ("single", "composite"):
        assert (
            re.sub(rewrite["regex"], replacement, f"/leshan_api/resource/{kind}")
            == f"/function/ingest-{kind}"
        )
    assert found["flownexus-leshan"]["stripPrefix"] == {"prefixes": ["/leshan_api"]}
    assert found["flownexus-downloads"]["stripPrefix"] == {"prefixes": ["/firmware"]}


def test_a_site_changes_the_host_of_every_ingress() -> None:
    patches = yaml.safe_load((K3S / "kustomization.yaml").read_text())["patches"]
    patterns = [patch["target"]["name"] for patch in patches if patch["target"]["kind"] == "Ingress"]
    for ingress in objects("Ingress"):
        name = ingress["metadata"]["name"]
        assert any(re.fullmatch(pattern, name) for pattern in patterns), name
        assert len(ingress["spec"]["tls"]) == len(ingress["spec"]["rules"]) == 1, (
            "the patch changes the first"
        )


# Connections to PostgreSQL.

SUPERUSERS = 3  # PostgreSQL's default of superuser_reserved_connections
BY_HAND = 5  # pg_dump, psql in the pod, the migration


def most_connections(function: Function) -> int:
    """Return what a function takes while a new version of it is rolled out: one replica more.

    Who has the URL of a second role opens one connection by it.
    """
    urls = [name for name in function.secrets if name.endswith("-database-url")]
    pool = int(function.environment["database_pool_size"])
    return (int(function.labels["com.openfaas.scale.max"]) + 1) * (pool + len(urls) - 1)


def test_pools_times_replicas_and_everybody_else_fit_into_max_connections() -> None:
    arguments = container("postgres")["args"]
    [most] = [int(each.partition("=")[2]) for each in arguments if each.startswith("max_connections=")]
    limits = dict(
        re.findall(r"ROLE (\w+) CONNECTION LIMIT (\d+)", (REPOSITORY / "sql" / "roles.sql").read_text())
    )
    readers = sum(int(limits[role]) for role in ("flownexus_grafana", "flownexus_reader"))
    [pool] = [int(each["value"]) for each in container("downloads")["env"] if each["name"].endswith("_size")]
    downloads = 2 * pool  # while a new version of it is rolled out
    taken = sum(map(most_connections, STACK.values())) + downloads + readers + SUPERUSERS + BY_HAND
    assert taken <= most, f"{taken} connections at most, and {most} are allowed"


def test_a_function_scales_within_what_the_community_edition_allows() -> None:
    assert len(STACK) <= 15
    for name, function in STACK.items():
        least, most = (int(function.labels[f"com.openfaas.scale.{end}"]) for end in ("min", "max"))
        assert 1 <= least <= most <= 5, name
    for name in ("housekeeping", "firmware"):
        assert STACK[name].labels["com.openfaas.scale.max"] == "1", f"rounds of {name} would run twice"


def test_a_function_says_how_much_memory_it_needs_and_may_take() -> None:
    described = yaml.safe_load(substitute((REPOSITORY / "stack.yml").read_text(), {}))["functions"]
    for name, function in described.items():
        assert function["requests"].keys() == {"cpu", "memory"}, name
        assert function["limits"].keys() == {"memory"}, f"{name}: a limit of processors would throttle it"
