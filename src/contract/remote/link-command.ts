/** Of the program, by which a command begins the keeper of a link. */
export const LINK_COMMAND = "link-keeper";
