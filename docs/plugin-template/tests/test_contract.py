import simlearn_duffing

import simlearn.testing

test_contract = simlearn.testing.contract(simlearn_duffing)
