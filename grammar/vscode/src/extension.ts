/** The client of `rnngraph lsp`, and the commands that show a model beside its text. */

import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import * as vscode from "vscode";
import { LanguageClient } from "vscode-languageclient/node";

const run = promisify(execFile);
let client: LanguageClient | undefined;

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const add = (name: string, does: (...args: string[]) => Promise<void>) =>
    context.subscriptions.push(vscode.commands.registerCommand(`rnngraph.${name}`, does));
  add("check", check);
  add("render", (file) => show(file, "picture", "svg", (path, out) => ["render", path, "--out", out]));
  add("compare", (file, model) =>
    show(file, "comparison", "html", (path, out) => ["compare", path, "--page", out, ...(model ? ["--model", model] : [])]),
  );
  add("restart", restart);
  await restart();
}

export async function deactivate(): Promise<void> {
  await client?.stop();
}

/** The words that start rnngraph, then those that are given. */
function command(...more: string[]): [string, string[]] {
  const words = vscode.workspace.getConfiguration("rnngraph").get<string[]>("command") ?? [];
  const [program, ...first] = words.length ? words : ["rnngraph"];
  return [program, [...first, ...more]];
}

async function restart(): Promise<void> {
  await client?.stop();
  const [program, args] = command("lsp");
  const texts = ["file", "untitled"].map((scheme) => ({ scheme, language: "rnn" }));
  client = new LanguageClient("rnngraph", { command: program, args }, { documentSelector: texts });
  try {
    await client.start();
  } catch {
    client = undefined;
    const told = `\`${program}\` cannot be started: install it with \`pip install 'rnngraph[lsp]'\`, or name it in the setting rnngraph.command.`;
    void vscode.window.showErrorMessage(told);
  }
}

/** The file that a command is about, saved: the one that is named, or the one that is seen. */
async function chosen(file: string | undefined): Promise<string | undefined> {
  const seen = vscode.window.activeTextEditor?.document;
  const named = typeof file === "string" ? vscode.workspace.textDocuments.find((d) => d.fileName === file) : seen;
  const text = named ?? seen;
  if (!text || text.languageId !== "rnn" || (text.isUntitled && !(await text.save()))) {
    void vscode.window.showInformationMessage("Open a .rnn file first, and save it.");
    return undefined;
  }
  await text.save();
  return text.fileName;
}

async function check(file?: string): Promise<void> {
  const path = await chosen(file);
  if (path) {
    const [shellPath, shellArgs] = command("check", path);
    vscode.window.createTerminal({ name: "rnngraph check", shellPath, shellArgs, cwd: dirname(path) }).show();
  }
}

/** What a command of rnngraph writes, in a panel beside the text; made anew when the text is saved. */
async function show(
  file: string | undefined,
  title: string,
  form: "svg" | "html",
  words: (path: string, out: string) => string[],
): Promise<void> {
  const path = await chosen(file);
  if (!path) return;
  const panel = vscode.window.createWebviewPanel("rnngraph", title, vscode.ViewColumn.Beside, {});
  const draw = async () => {
    panel.webview.html = page(title, await written(path, form, words).catch((error) => failure(error)));
  };
  const saved = vscode.workspace.onDidSaveTextDocument((text) => (text.fileName === path ? draw() : undefined));
  panel.onDidDispose(() => saved.dispose());
  panel.webview.html = page(title, "<p>...</p>");
  await draw();
}

/** The file that rnngraph writes for these words. */
async function written(path: string, form: string, words: (path: string, out: string) => string[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "rnngraph-"));
  try {
    const out = join(folder, `made.${form}`);
    const [program, args] = command(...words(path, out));
    await run(program, args, { cwd: dirname(path) });
    return await readFile(out, "utf-8");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function failure(error: { stderr?: string; message?: string }): string {
  const told = (error.stderr || error.message || "").replace(/[&<>]/g, (sign) => `&#${sign.charCodeAt(0)};`);
  return `<pre>${told}</pre>`;
}

/** A page without scripts; pictures keep their own colours, so they stand on white. */
function page(title: string, body: string): string {
  const policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:";
  const head = `<meta http-equiv="Content-Security-Policy" content="${policy}"><title>${title}</title>`;
  const inside = body.replace(/^[\s\S]*?(?=<svg|<style|<p|<pre|<main)/, "").replace(/<\/?(html|head|body)[^>]*>/g, "");
  return `<!doctype html><html><head>${head}<style>body { background: white; color: #222; }</style></head><body>${inside}</body></html>`;
}
