"""RPC under load: calls and answers of Bolt and Dubbo in a closed loop, and the scenarios made of them."""
