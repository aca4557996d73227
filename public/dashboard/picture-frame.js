import { createPicture } from "../shared/picture.js";

/** One live picture fills this page. The dashboard around it says which: `update` as of `createPicture`. */
const picture = createPicture();
document.body.append(picture.node);
window.picture = picture;
