import { stringify } from "yaml";

/** Several documents in one file, as `kubectl apply -f` takes them. */
export function printYamlDocuments(documents: readonly unknown[]): string {
  return documents.map((document) => stringify(document, { lineWidth: 0, aliasDuplicateObjects: false })).join("---\n");
}
