import { faultsOfKinds } from "./faults-of-kinds.ts";
import { testKindFaults } from "./kind-faults.ts";

testKindFaults(faultsOfKinds);
