"""Everything that is measured, in the order of each round."""
from .dpdk_acl import DpdkAcl
from .dpdk_hash import DpdkHash
from .latency import Latency
from .linux_nft import LinuxNft
from .ovs import OvsDpdk
from .peer import Component, Counts, Peer, Unable
from .sluice_bench import SluiceBench, SluiceScenarios
from .sluiced import Sluiced
from .testpmd import Testpmd5tswap, TestpmdIo, TestpmdMacswap

PEERS = (TestpmdIo, TestpmdMacswap, Testpmd5tswap, Sluiced, OvsDpdk, LinuxNft)
COMPONENTS = (Latency, SluiceBench, SluiceScenarios, DpdkHash, DpdkAcl)
NAMES = tuple(one.name for one in PEERS + COMPONENTS)
__all__ = ["COMPONENTS", "NAMES", "PEERS", "Component", "Counts", "Peer", "Unable"]
