import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { execa } from "execa";

/** The image of every container of the tests: busybox, asleep unless told otherwise. */
export const imageName = "podwire.test/busybox:1";

const applets = ["sh", "sleep", "ip", "ping", "wget", "httpd", "true", "grep"];

/** Writes an OCI archive of a busybox image to `folder` and returns its path. */
export async function writeImage(folder: string): Promise<string> {
  const root = join(folder, "root");
  const layout = join(folder, "layout");
  fillRoot(root);
  mkdirSync(join(layout, "blobs/sha256"), { recursive: true });
  const layer = await tar(root, join(folder, "layer.tar"));
  const blob = (content: Buffer | object): { digest: string; size: number } => {
    const bytes = Buffer.isBuffer(content) ? content : Buffer.from(JSON.stringify(content));
    const hash = createHash("sha256").update(bytes).digest("hex");
    writeFileSync(join(layout, "blobs/sha256", hash), bytes);
    return { digest: `sha256:${hash}`, size: bytes.length };
  };
  const type = (kind: string): string => `application/vnd.oci.image.${kind}`;
  const data = blob(readFileSync(layer));
  const architecture = process.arch === "arm64" ? "arm64" : "amd64";
  const process_ = { Env: ["PATH=/bin"], Entrypoint: ["/bin/sleep", "1000000"], WorkingDir: "/" };
  const config = blob({
    architecture,
    os: "linux",
    config: process_,
    rootfs: { type: "layers", diff_ids: [data.digest] },
  });
  const manifest = blob({
    schemaVersion: 2,
    mediaType: type("manifest.v1+json"),
    config: { mediaType: type("config.v1+json"), ...config },
    layers: [{ mediaType: type("layer.v1.tar"), ...data }],
  });
  const annotations = { "io.containerd.image.name": imageName, "org.opencontainers.image.ref.name": imageName };
  writeFileSync(join(layout, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  writeFileSync(
    join(layout, "index.json"),
    JSON.stringify({
      schemaVersion: 2,
      manifests: [{ mediaType: type("manifest.v1+json"), ...manifest, annotations }],
    }),
  );
  const archive = await tar(layout, join(folder, "image.tar"));
  rmSync(layer);
  return archive;
}

/** A root file system of busybox and the libraries it is linked with, if any. */
function fillRoot(root: string): void {
  const busybox = ["/bin/busybox", "/usr/bin/busybox"].find((path) => statSync(path, { throwIfNoEntry: false }));
  if (busybox === undefined) throw new Error("no busybox here");
  for (const name of ["bin", "proc", "sys", "dev", "etc", "tmp", "run"]) {
    mkdirSync(join(root, name), { recursive: true });
  }
  const libraries = [...spawnSync("ldd", [busybox], { encoding: "utf8" }).stdout.matchAll(/(\/\S+) \(0x/g)].map(
    (match) => match[1]!,
  );
  for (const file of [busybox, ...libraries]) {
    const to = file === busybox ? "/bin/busybox" : file;
    mkdirSync(join(root, dirname(to)), { recursive: true });
    copyFileSync(file, join(root, to));
  }
  for (const applet of applets) symlinkSync(basename(busybox), join(root, "bin", applet));
  writeFileSync(join(root, "etc/passwd"), "root:x:0:0:root:/:/bin/sh\n");
}

async function tar(folder: string, file: string): Promise<string> {
  await execa("tar", [
    "--create",
    "--numeric-owner",
    "--owner=0",
    "--group=0",
    "--file",
    file,
    "--directory",
    folder,
    ".",
  ]);
  return file;
}
