// Starts `blockprint lsp` for YAML and JSON. The server leaves files alone that are no specs.
const { window, workspace } = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

exports.activate = async () => {
  const [command, ...args] = workspace.getConfiguration("blockprint").get("command");
  const cwd = workspace.workspaceFolders?.[0]?.uri.fsPath;
  client = new LanguageClient(
    "blockprint",
    "Blockprint",
    { command, args, options: { cwd } },
    { documentSelector: [{ language: "yaml" }, { language: "json" }] },
  );
  try {
    await client.start();
  } catch (error) {
    window.showErrorMessage(
      `\`${command}\` does not start: ${error.message}. pip install 'blockprint[editor]', or say where it is in \`blockprint.command\`.`,
    );
  }
};

exports.deactivate = () => client?.stop();
