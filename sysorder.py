import sys, os, json, subprocess, time
sys.path.insert(0, 'benchmarks')
import catalog, loops, native
row,loop=sys.argv[1:3]
order={"scenario":row,"loop":loop,"heap":"warmed","seconds":2,"quick":False}
p=subprocess.Popen(['strace','-f','-r','-o','/tmp/st.txt',sys.executable,'benchmarks/worker.py',json.dumps(order)],stdout=subprocess.PIPE,env=loops.environment())
port=json.loads(p.stdout.readline())['port']
l=subprocess.Popen([native.program('load'),'http',str(port),'64','64','0.3','2',str(p.pid)],stdout=subprocess.PIPE)
done=json.loads(l.stdout.readline())
import signal
subprocess.run(['pkill','-KILL','-P',str(p.pid)]); time.sleep(0.5); p.kill(); p.wait(); l.wait()
n=done['requests']; print(row,loop,'requests (of 2 of 2.3 s)',n)

lines=open('/tmp/st.txt').read().splitlines(); mid=len(lines)//2
import re
print(' '.join(re.sub(r'\(.*','',' '.join(x.split()[2:3])) for x in lines[mid:mid+150]))

import collections
g=collections.defaultdict(list); prev=None
for x in lines[len(lines)//3:]:
    f=x.split()
    if len(f)<3: continue
    name=f[2].split('(')[0]; t=float(f[1])
    if prev: g[prev+'->'+name].append(t)
    prev=name
for k,v in sorted(g.items(), key=lambda kv:-len(kv[1]))[:6]: v.sort(); print(k,len(v),'median us',round(1e6*v[len(v)//2],1))
