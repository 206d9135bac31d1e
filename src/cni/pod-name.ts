/** What Kubernetes calls the pod an attachment is for, as a runtime says it in CNI_ARGS. */
export interface PodName {
  namespace: string;
  name: string;
  uid?: string;
}

/** RFC 1123 names, as Kubernetes has them, and what other runtimes call their pods: at most 253 characters. */
const isName = (text: unknown): text is string =>
  typeof text === "string" && text.length <= 253 && /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(text);

/** The three words as they may be kept and shown; undefined unless namespace and name are names. */
export function toPodName(namespace: unknown, name: unknown, uid: unknown): PodName | undefined {
  if (!isName(namespace) || !isName(name)) return undefined;
  return { namespace, name, ...(isName(uid) && { uid }) };
}

/** The pod that CNI_ARGS name; undefined where they name none, or not as a name is written. */
export function podNameOf(args: string): PodName | undefined {
  if (!args.includes("K8S_POD_NAME=")) return undefined;
  const valueOf = (key: string): string | undefined =>
    args
      .split(";")
      .findLast((pair) => pair.startsWith(`${key}=`))
      ?.slice(key.length + 1);
  return toPodName(valueOf("K8S_POD_NAMESPACE"), valueOf("K8S_POD_NAME"), valueOf("K8S_POD_UID"));
}

/** `namespace/name`, as kubectl and people write it. */
export const formatPodName = ({ namespace, name }: PodName): string => `${namespace}/${name}`;
