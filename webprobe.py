# runs inside chroot: for loops: start server, load, count user/sys/ctx + perf trace of syscalls if possible
import sys, os, json, subprocess, resource, time, select
sys.path.insert(0, 'benchmarks')
import catalog, loops, native
WORK='benchmarks/worker.py'
def stat(pid):
    f=open(f'/proc/{pid}/stat').read().rsplit(')',1)[1].split()
    ut,st=int(f[11]),int(f[12]); mf=int(f[7])
    s=open(f'/proc/{pid}/status').read()
    v=int(s.split('voluntary_ctxt_switches:')[1].split()[0]); nv=int(s.split('nonvoluntary_ctxt_switches:')[1].split()[0])
    sched=open(f'/proc/{pid}/schedstat').read().split()
    return ut,st,mf,v,nv,int(sched[0]),int(sched[2])
def run(row, loop, secs=1.0):
    name=[s for s in catalog.every_scenario() if s.name==row][0].name
    order={"scenario":name,"loop":loop,"heap":"warmed","seconds":secs,"quick":False}
    p=subprocess.Popen([sys.executable,WORK,json.dumps(order)],stdout=subprocess.PIPE,env=loops.environment())
    port=json.loads(p.stdout.readline())['port']
    l=subprocess.Popen([native.program('load'),'http',str(port),'64','64','0.3',str(secs),str(p.pid)],stdout=subprocess.PIPE)
    time.sleep(0.3); a=stat(p.pid); 
    done=json.loads(l.stdout.readline()); b=stat(p.pid)
    p.kill(); p.wait(); l.wait()
    n=done['requests']
    d=[y-x for x,y in zip(a,b)]
    print(f"{row:22} {loop:10} cpu/req {done['cpu_ns']/n/1e3:6.2f} us  n/s {n/secs:8.0f} user {d[0]} sys {d[1]} ticks minflt {d[2]} vcs {d[3]} nvcs {d[4]} slices {d[6]}", flush=True)
for _ in range(3):
  for row in sys.argv[1].split(';'):
    for loop in sys.argv[2].split(','):
        run(row, loop)
