// The files for Kubernetes, held to what they promise: known kinds with their required members, selectors that match,
// pods that are confined, volumes that fit, and a configuration that Offpeak takes once its placeholders are filled.
import { expect, test } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { type Config, loadConfig } from "../../src/config/config.ts";
import { settings } from "../../src/config/settings.ts";
import { readDeployFile } from "../support/deploy-image.ts";

type Labels = Record<string, string>;

interface Meta {
  name: string;
  namespace?: string;
  labels?: Labels;
}

interface Probe {
  httpGet: { path: string; port: string };
  periodSeconds: number;
  failureThreshold: number;
}

interface PodContainer {
  image: string;
  args: string[];
  env: { name: string; value: string }[];
  envFrom: { secretRef: { name: string } }[];
  ports: { name: string; containerPort: number }[];
  volumeMounts: { name: string; mountPath: string; readOnly?: boolean }[];
  resources: { requests: Labels; limits: Labels };
  startupProbe: Probe;
  livenessProbe: Probe;
  readinessProbe: Probe;
  lifecycle?: { preStop: { sleep: { seconds: number } } };
  securityContext: unknown;
}

interface PodSpec {
  automountServiceAccountToken: boolean;
  enableServiceLinks: boolean;
  terminationGracePeriodSeconds: number;
  topologySpreadConstraints: { labelSelector: { matchLabels: Labels } }[];
  securityContext: unknown;
  containers: PodContainer[];
  volumes: { name: string; configMap?: { name: string }; emptyDir?: { sizeLimit: string } }[];
}

interface KubernetesObject {
  apiVersion: string;
  kind: string;
  metadata: Meta;
  stringData?: Record<string, unknown>;
  data?: Labels;
  spec?: Record<string, unknown>;
}

interface DeploymentSpec {
  selector: { matchLabels: Labels };
  template: { metadata: { labels: Labels }; spec: PodSpec };
}

const objects = parseAllDocuments(readDeployFile("kubernetes.yaml")).map((document) => {
  if (document.errors.length > 0) throw new AggregateError(document.errors);
  return document.toJS() as KubernetesObject;
});
const scaled = parse(readDeployFile("keda.yaml")) as KubernetesObject;

function find(kind: string, name: string): KubernetesObject {
  const found = objects.filter((object) => object.kind === kind && object.metadata.name === name);
  expect([kind, name, found.length]).toEqual([kind, name, 1]);
  return found[0]!;
}

const roles = ["api", "engine"] as const;
type Role = (typeof roles)[number];

const deploymentOf = (role: Role) =>
  find("Deployment", `offpeak-${role}`).spec as unknown as DeploymentSpec;

function podOf(role: Role): PodSpec & { container: PodContainer } {
  const { spec } = deploymentOf(role).template;
  expect(spec.containers.length).toBe(1);
  return { ...spec, container: spec.containers[0]! };
}

/** What a pod has as configuration, after `change` has filled the placeholders of the file. */
function configOf(role: Role, change: (file: string) => string): Config {
  const { container } = podOf(role);
  const secret = find("Secret", container.envFrom[0]!.secretRef.name).stringData ?? {};
  const env: Labels = Object.fromEntries([
    ...container.env.map(({ name, value }) => [name, value] as const),
    ...Object.keys(secret).map((name) => [name, "0".repeat(64)] as const),
    ["OFFPEAK_DATABASE_URL", "postgres://user:password@host:5432/database?sslmode=verify-full"],
    // Of the image.
    ["OFFPEAK_HOST", "0.0.0.0"],
    ["OFFPEAK_DATA_DIR", "/data"],
  ]);
  const [command, flag, value] = container.args;
  expect([command, flag]).toEqual(["serve", "--role"]);
  const { data = {} } = find("ConfigMap", "offpeak");
  return loadConfig({
    flags: { "--role": value },
    env,
    readFile: (name) =>
      name === "/etc/offpeak/offpeak.yaml" ? change(data["offpeak.yaml"] ?? "") : undefined,
  });
}

const fillBucket = (file: string) => file.replace("YOUR-BUCKET", "your-bucket");

test("every object is of a known kind, in its namespace, with what the kind needs", () => {
  const required: Record<string, string[]> = {
    "v1 Namespace": [],
    "v1 Secret": ["stringData", "type"],
    "v1 ConfigMap": ["data"],
    "v1 Service": ["spec.selector", "spec.ports"],
    "apps/v1 Deployment": ["spec.selector", "spec.strategy", "spec.template"],
    "policy/v1 PodDisruptionBudget": ["spec.selector", "spec.maxUnavailable"],
    "autoscaling/v2 HorizontalPodAutoscaler": [
      "spec.scaleTargetRef",
      "spec.minReplicas",
      "spec.maxReplicas",
      "spec.metrics",
    ],
    "keda.sh/v1alpha1 ScaledObject": ["spec.scaleTargetRef", "spec.triggers"],
  };
  for (const object of [...objects, scaled]) {
    const members = required[`${object.apiVersion} ${object.kind}`];
    expect([object.kind, members]).toEqual([object.kind, expect.any(Array)]);
    for (const member of members ?? []) expect(object).toHaveProperty(member);
    expect(object.metadata.namespace).toBe(object.kind === "Namespace" ? undefined : "offpeak");
  }
  const names = objects.map(({ kind, metadata }) => `${kind}/${metadata.name}`);
  expect(new Set(names).size).toBe(names.length);
});

test("unfilled secrets are refused by the API server, an unfilled bucket by Offpeak", () => {
  // The API server takes nothing but text there.
  const { stringData = {} } = find("Secret", "offpeak");
  for (const value of Object.values(stringData)) expect(typeof value).not.toBe("string");
  for (const role of roles) {
    expect(() => configOf(role, (file) => file)).toThrow(/blob_url.*YOUR-BUCKET/);
  }
});

test.each(roles)("a filled configuration makes a node of role %s", (role) => {
  const config = configOf(role, fillBucket);
  expect(config).toMatchObject({ role, port: 8024, storage: { bucket: "your-bucket" } });
  // What the comments offer is taken, too.
  const uncommented = (file: string) => fillBucket(file).replaceAll(/^# (s3_\w+: \S+).*$/gm, "$1");
  expect(configOf(role, uncommented)).toMatchObject({
    s3PathStyle: true,
    s3Endpoint: "https://s3.example.com",
  });
});

test.each(roles)("selectors find the pods of role %s and no others", (role) => {
  const { selector, template } = deploymentOf(role);
  const { labels } = template.metadata;
  const budget = find("PodDisruptionBudget", `offpeak-${role}`).spec as unknown as DeploymentSpec;
  const spread = template.spec.topologySpreadConstraints[0]!.labelSelector;
  for (const matched of [selector, budget.selector, spread])
    expect(matched.matchLabels).toEqual(labels);
  expect(find("Deployment", `offpeak-${role}`).metadata.labels).toEqual(labels);
  expect(labels["app.kubernetes.io/component"]).toBe(role);
});

test("the service leads to the port of pods that serve clients", () => {
  const spec = find("Service", "offpeak").spec as {
    selector: Labels;
    ports: { targetPort: string }[];
  };
  expect(spec.selector).toEqual(deploymentOf("api").template.metadata.labels);
  const { ports } = podOf("api").container;
  expect(ports.map(({ name }) => name)).toEqual(spec.ports.map(({ targetPort }) => targetPort));
});

test.each(roles)("pods of role %s are confined", (role) => {
  const pod = podOf(role);
  expect(pod).toMatchObject({
    automountServiceAccountToken: false,
    // OFFPEAK_PORT would be the address of the service.
    enableServiceLinks: false,
    securityContext: {
      runAsNonRoot: true,
      runAsUser: 10_001,
      fsGroup: 10_001,
      seccompProfile: { type: "RuntimeDefault" },
    },
  });
  expect(readDeployFile("Dockerfile")).toMatch(/^USER 10001:10001$/m);
  expect(pod.container.securityContext).toEqual({
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ["ALL"] },
  });
  expect(pod.container.image).toMatch(/^[\w./-]+:\d+\.\d+\.\d+$/);
});

test.each(roles)("probes of role %s ask its port, and a stop has the time it needs", (role) => {
  const { container, terminationGracePeriodSeconds } = podOf(role);
  const [port, ...otherPorts] = container.ports;
  expect(otherPorts).toEqual([]);
  expect(port).toEqual({ name: "http", containerPort: settings.port.fallback });
  expect(configOf(role, fillBucket).port).toBe(port?.containerPort);
  const { startupProbe, livenessProbe, readinessProbe, lifecycle } = container;
  const health = { path: "/healthz", port: "http" };
  expect(startupProbe.httpGet).toEqual(health);
  expect(livenessProbe.httpGet).toEqual(health);
  expect(readinessProbe.httpGet).toEqual({ path: "/readyz", port: "http" });
  expect(startupProbe.periodSeconds * startupProbe.failureThreshold).toBeGreaterThanOrEqual(60);
  const drainSeconds = lifecycle?.preStop.sleep.seconds ?? 0;
  expect(drainSeconds > 0).toBe(role === "api");
  expect(terminationGracePeriodSeconds).toBeGreaterThan(drainSeconds + 10);
});

test.each(roles)("volumes of role %s are there and hold the cache", (role) => {
  const { volumes, container } = podOf(role);
  const { volumeMounts, resources } = container;
  expect(volumeMounts.map(({ name }) => name)).toEqual(volumes.map(({ name }) => name));
  expect(volumes.find(({ configMap }) => configMap)?.configMap?.name).toBe("offpeak");
  const { dataDir, cacheSizeBytes, freeSpaceFloorBytes } = configOf(role, fillBucket);
  const data = volumeMounts.find(({ mountPath }) => mountPath === dataDir);
  const sizeLimit = volumes.find(({ name }) => name === data?.name)?.emptyDir?.sizeLimit;
  const sizeBytes = bytes(sizeLimit);
  expect(sizeBytes).toBeGreaterThanOrEqual(cacheSizeBytes + freeSpaceFloorBytes);
  expect(bytes(resources.limits["ephemeral-storage"])).toBeGreaterThan(sizeBytes);
  // The heap's limit is 1 GiB; buffers come on top.
  expect(bytes(resources.limits["memory"])).toBeGreaterThanOrEqual(1.5 * 1024 ** 3);
});

function bytes(quantity = ""): number {
  const [, count, unit] = /^(\d+)(Mi|Gi)$/.exec(quantity) ?? [];
  return Number(count) * (unit === "Gi" ? 1024 ** 3 : 1024 ** 2);
}

test("both ways of scaling mean the engines, of which there is always one", () => {
  const autoscaler = find("HorizontalPodAutoscaler", "offpeak-engine").spec;
  expect(autoscaler).toMatchObject({
    scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "offpeak-engine" },
    minReplicas: 1,
  });
  expect(scaled.spec).toMatchObject({
    scaleTargetRef: { name: "offpeak-engine" },
    minReplicaCount: 1,
    maxReplicaCount: autoscaler?.["maxReplicas"],
  });
  // Else every `apply` would undo what the autoscaler did.
  expect(find("Deployment", "offpeak-engine").spec).not.toHaveProperty("replicas");
  // Usage is a part of what is requested.
  expect(podOf("engine").container.resources.requests).toHaveProperty("cpu");
});
