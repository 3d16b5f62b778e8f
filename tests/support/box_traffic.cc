// Box: time, and packets in and out.
#include <algorithm>
#include <stdexcept>

#include <catch2/catch.hpp>

#include "tests/support/box.hh"

namespace sluice::test {

void Box::serve_control() {
    if (ageing_runs_)
        while (ageing_->poll(now_.ms, 4096)) {
        }
    grace_.reclaim();
}

/// Cycles are real ones, whatever the time is.
bool Box::poll(unsigned worker) {
    StageClock& stages = lcores_[worker]->pipeline->stages();
    stages.begin_loop(rte_rdtsc());
    const bool worked = workers_[worker]->poll_once(now_);
    stages.end_loop(worked, rte_rdtsc());
    return worked;
}

bool Box::step() {
    bool worked = false;
    for (unsigned i = 0; i < workers_.size(); ++i) worked = poll(i) || worked;
    collect();
    serve_control();
    return worked;
}

void Box::loop() {
    step();
}

void Box::loop(unsigned worker) {
    (void)poll(worker);
    collect();
    serve_control();
}

void Box::settle() {
    // A packet visits two other workers at the most, and control answers once: a handful of rounds after the last work.
    for (unsigned quiet = 0, rounds = 0; quiet < 4; ++rounds) {
        if (rounds > 10000) throw std::runtime_error("the box never comes to rest");
        quiet = step() ? 0 : quiet + 1;
    }
    check_balance();
}

void Box::advance(std::uint64_t ms) {
    const TimeMs end = now_.ms + ms;
    while (now_.ms < end) {
        now_.ms += std::min<TimeMs>(end - now_.ms, ms > 100000 ? 1000 : 8);
        step();
    }
    settle();
}

void Box::queue(const std::string& port, const PacketBuilder& packet, unsigned queue) {
    Wire& w = wire(port);
    PacketBuilder p = packet;
    Frame frame = p.bytes();
    const Decoded d = decode(frame);
    if (d.eth_dst == mac(2)) {
        p.to(port_mac(port));
        frame = p.bytes();
    }
    if (rte_ring_enqueue(w.to_box[queue], make_mbuf(pool_, frame, w.device)) != 0)
        throw std::runtime_error("wire is full");
}

void Box::send(const std::string& port, const PacketBuilder& packet, unsigned on_queue) {
    queue(port, packet, on_queue);
    settle();
}

void Box::queue_frame(const std::string& port, const Frame& frame, unsigned on_queue) {
    Wire& w = wire(port);
    if (rte_ring_enqueue(w.to_box[on_queue], make_mbuf(pool_, frame, w.device)) != 0)
        throw std::runtime_error("wire is full");
}

void Box::send_frame(const std::string& port, const Frame& frame, unsigned on_queue) {
    queue_frame(port, frame, on_queue);
    settle();
}

void Box::send_from_kernel(const std::string& port, const PacketBuilder& packet) {
    PacketBuilder p = packet;
    send_frame_from_kernel(port, p.from(port_mac(port)).bytes());
}

void Box::send_frame_from_kernel(const std::string& port, const Frame& frame) {
    Wire& w = wire(port);
    const Decoded d = decode(frame);
    rte_mbuf* m = make_mbuf(pool_, frame, w.device);
    note_of(m) = HandoffNote{};
    note_of(m).out_port = w.index;
    if (!lcores_[homes_.of(d.dst)]->from_kernel.post(m)) throw std::runtime_error("full");
    settle();
}

void Box::collect() {
    for (Wire& w : wires_)
        for (rte_ring* r : w.from_box) {
            void* p = nullptr;
            while (rte_ring_dequeue(r, &p) == 0) {
                auto* m = static_cast<rte_mbuf*>(p);
                w.sent.push_back(frame_of(m));
                rte_pktmbuf_free(m);
            }
        }
    for (auto& l : lcores_) {
        rte_mbuf* m = nullptr;
        while (l->punt_ring.take(&m, 1) == 1) {
            wires_[note_of(m).in_port].punted.push_back(frame_of(m));
            rte_pktmbuf_free(m);
        }
    }
}

std::vector<Frame> Box::sent(const std::string& port) {
    Wire& w = wire(port);
    std::vector<Frame> out(w.sent.begin(), w.sent.end());
    w.sent.clear();
    return out;
}

Frame Box::only(const std::string& port) {
    auto frames = sent(port);
    REQUIRE(frames.size() == 1);
    return frames.front();
}

Decoded Box::one(const std::string& port) {
    return decode(only(port));
}

std::vector<Frame> Box::punted(const std::string& port) {
    Wire& w = wire(port);
    std::vector<Frame> out(w.punted.begin(), w.punted.end());
    w.punted.clear();
    return out;
}

}  // namespace sluice::test
