import type { FolderKind } from '../../folder/folder-note.js';

/** The folder of a hub. */
export const STORE_FOLDER: FolderKind = {
  name: 'file',
  dataFile: dataFile(1),
  isDataFile: (name) => /^store-\d{1,15}\.mdb$/.test(name),
};

export function nextDataFile(name: string): string {
  return dataFile(Number(/\d+/.exec(name)) + 1);
}

function dataFile(number: number): string {
  return `store-${number}.mdb`;
}
