import { testFeatures } from "../executable/features.ts";

testFeatures();
