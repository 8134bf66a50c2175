/** The program of a measuring process. */
import { answerJob } from "@voxquant/cli-core";
import { measure } from "./measure.js";

answerJob(measure);
