/**
 * Ids name files, processes and journal identifiers, so they hold only characters that are safe in all three and never
 * begin with a dot or a dash. Apart from the schemas: who only asks whether a text may be an id loads none.
 */
export const IDENTIFIER_PATTERN = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$/;
