/** The program of a process that speaks for a comparison. */
import { answerJob } from "@voxquant/cli-core";
import { measure } from "./measure.js";

answerJob(measure);
